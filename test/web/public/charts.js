// charts.js: draws what Postgres has counted, and redraws it when that has moved.
import { keepUpToDate, read } from './live.js';

const { Chart } = window;
const charts = new Map();

function makeChart(id, indexAxis) {
    return new Chart(document.querySelector(`#${id}`), {
        type: 'bar',
        data: { labels: [], datasets: [{ label: 'plays', data: [], backgroundColor: '#4269d0' }] },
        options: {
            indexAxis,
            animation: false,
            maintainAspectRatio: false,
            plugins: { legend: { display: false } },
            scales: { [indexAxis === 'x' ? 'y' : 'x']: { beginAtZero: true, ticks: { precision: 0 } } },
        },
    });
}

// A chart that has not moved is left alone.
async function draw(id, label, indexAxis) {
    const rows = await read(`/api/charts/${id}?days=30`);
    const shown = JSON.stringify(rows);
    const chart = charts.get(id) ?? { drawn: makeChart(id, indexAxis) };
    charts.set(id, chart);
    if (shown !== chart.shown) {
        chart.shown = shown;
        chart.drawn.data.labels = rows.map((row) => row[label]);
        chart.drawn.data.datasets[0].data = rows.map((row) => row.plays);
        chart.drawn.update();
    }
}

await keepUpToDate(async () => {
    await Promise.all([draw('series', 'period', 'x'), draw('top', 'title', 'y')]);
    document.documentElement.dataset.drawn = true;
});
