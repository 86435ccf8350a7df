// charts.js: draws what Postgres has counted.
const { Chart } = window;

async function draw(id, label, indexAxis) {
    const rows = await (await fetch(`/api/charts/${id}?days=30`)).json();
    new Chart(document.querySelector(`#${id}`), {
        type: 'bar',
        data: {
            labels: rows.map((row) => row[label]),
            datasets: [{ label: 'plays', data: rows.map((row) => row.plays), backgroundColor: '#4269d0' }],
        },
        options: {
            indexAxis,
            animation: false,
            maintainAspectRatio: false,
            plugins: { legend: { display: false } },
            scales: { [indexAxis === 'x' ? 'y' : 'x']: { beginAtZero: true, ticks: { precision: 0 } } },
        },
    });
}

await Promise.all([draw('series', 'period', 'x'), draw('top', 'title', 'y')]);
document.documentElement.dataset.drawn = true;
