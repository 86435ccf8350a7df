// charts.js: draws what Postgres has counted, and redraws it when that has moved.
import { keepUpToDate, read } from './live.js';
import { number, plays, show, sum } from './numbers.js';

const { Chart } = window;
const find = (selector, from = document) => from.querySelector(selector);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

//
// Time: days are UTC's, as the log's are
//

const steps = {
    day: { now: 'today', name: { day: 'numeric', month: 'short' }, days: (n) => n },
    week: { now: 'this week', name: { day: 'numeric', month: 'short' }, days: (n, today) => 7 * (n - 1) + (today.getUTCDay() || 7) },
    month: {
        now: 'this month', name: { month: 'short', year: 'numeric' },
        days: (n, today) => 1 + (today - Date.UTC(today.getUTCFullYear(), today.getUTCMonth() - n + 1)) / 86400e3,
    },
};

// What is chosen, from the first day of its step on: half a week would look like a bad one.
function period() {
    const [step, n] = find('#over').value.split(' ');
    const today = new Date(new Date().setUTCHours(0, 0, 0, 0));
    return { step, days: steps[step].days(Number(n), today) };
}

const dayName = (day, step) => new Intl.DateTimeFormat('en-GB', { ...steps[step].name, timeZone: 'UTC' }).format(new Date(day));

//
// Charts
//

// What isn't over is hatched.
function hatch() {
    const tile = new OffscreenCanvas(6, 6);
    const pen = tile.getContext('2d');
    pen.strokeStyle = colour('--series');
    pen.lineWidth = 2;
    for (const x of [-6, 0, 6]) {
        pen.moveTo(x, 6);
        pen.lineTo(x + 6, 0);
    }
    pen.stroke();
    return pen.createPattern(tile, 'repeat');
}

class PlaysChart {
    #canvas;
    #chart;
    #rows = [];
    #shown;
    #body;

    // name is how a row is called, unfinished whether it will still grow.
    constructor(id, indexAxis, name, unfinished = () => false) {
        this.#canvas = find(`#${id}`);
        this.#canvas.closest('figure').append(find('template').content.cloneNode(true));
        this.#body = find('tbody', this.#canvas.closest('figure'));
        this.name = name;
        this.unfinished = unfinished;
        const counts = indexAxis === 'x' ? 'y' : 'x';
        this.#chart = new Chart(this.#canvas, {
            type: 'bar',
            data: {
                labels: [],
                datasets: [{
                    data: [],
                    backgroundColor: ({ dataIndex }) => (this.unfinished(dataIndex, this.#rows) ? hatch() : colour('--series')),
                    borderColor: () => colour('--series'),
                    borderWidth: ({ dataIndex }) => (this.unfinished(dataIndex, this.#rows) ? 1 : 0),
                    borderRadius: 2,
                    maxBarThickness: 40,
                }],
            },
            options: {
                indexAxis,
                animation: false,
                maintainAspectRatio: false,
                font: { family: 'system-ui, sans-serif', size: 13 },
                plugins: {
                    legend: { display: false },
                    tooltip: {
                        displayColors: false,
                        callbacks: {
                            title: ([item]) => this.#name(item.dataIndex),
                            label: ({ raw, dataIndex }) => this.#count(raw, dataIndex),
                        },
                    },
                },
                scales: {
                    [counts]: {
                        beginAtZero: true, border: { display: false },
                        grid: { color: () => colour('--line') },
                        ticks: { precision: 0, maxTicksLimit: 6, color: () => colour('--quiet'), callback: (n) => number(n) },
                    },
                    [indexAxis]: {
                        grid: { display: false }, border: { color: () => colour('--line') },
                        ticks: {
                            color: () => colour(indexAxis === 'y' ? '--text' : '--quiet'), maxRotation: 0,
                            autoSkip: indexAxis === 'x', autoSkipPadding: 16, callback: (value, i) => this.#name(i),
                        },
                    },
                },
            },
        });
    }

    #name(i) {
        return this.name(this.#chart.data.labels[i]);
    }

    #count(n, i) {
        return plays(n) + (this.unfinished(i, this.#rows) ? ' so far' : '');
    }

    // A chart that has not moved is left alone.
    draw(rows, label, what) {
        const shown = JSON.stringify([rows, what]);
        if (shown === this.#shown) {
            return;
        }
        this.#shown = shown;
        this.#rows = rows;
        this.#chart.data.labels = rows.map((row) => row[label]);
        this.#chart.data.datasets[0].data = rows.map((row) => row.plays);
        this.redraw();
        this.#canvas.setAttribute('aria-label', `Bar chart: ${what}. The numbers are in the table below.`);
        this.#body.replaceChildren(...rows.map((row, i) => {
            const line = document.createElement('tr');
            line.append(document.createElement('th'), document.createElement('td'));
            line.firstChild.scope = 'row';
            line.firstChild.textContent = this.#name(i);
            line.lastChild.textContent = this.#count(row.plays, i);
            return line;
        }));
    }

    redraw() {
        this.#chart.update();
    }
}

let shownStep = 'day';
const series = new PlaysChart('series', 'x', (day) => dayName(day, shownStep), (i, rows) => i === rows.length - 1);
const top = new PlaysChart('top', 'y', (title) => title);
const releases = new PlaysChart('releases', 'y', (title) => title);

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    [series, top, releases].forEach((chart) => chart.redraw());
});

//
// Numbers
//

async function listTracks() {
    const groups = new Map();
    for (const { entry_key, title, release } of await read('/api/tracks')) {
        const label = release ?? 'Singles';
        if (!groups.has(label)) {
            groups.set(label, Object.assign(document.createElement('optgroup'), { label }));
        }
        groups.get(label).append(new Option(title, entry_key));
    }
    find('#of').append(...groups.values());
    find('#of').value = new URLSearchParams(location.search).get('track') ?? '';
    if (find('#of').selectedIndex < 0) {
        find('#of').value = '';
    }
}

async function drawSeries() {
    const { step, days } = period();
    const track = find('#of').value;
    const rows = await read(`/api/charts/series?days=${days}&step=${step}${track && `&track=${encodeURIComponent(track)}`}`);
    shownStep = step;
    find('.legend .step').textContent = step;
    find('.legend .now').textContent = steps[step].now;
    series.draw(rows, 'period', `plays of ${find('#of').selectedOptions[0].text} by ${step}`);
}

async function drawTop(chart, name) {
    const days = find('#days').value;
    chart.draw(await read(`/api/charts/${name}?days=${days}`), 'title', `the most played ${chart === top ? 'tracks' : 'releases'}`);
}

async function figures() {
    const [days, tracks] = await Promise.all([read('/api/charts/series?days=15'), read('/api/plays')]);
    const [before, week] = [sum(days.slice(0, 7)), sum(days.slice(7, 14))];
    show(find('#today'), number(days.at(-1).plays));
    show(find('#week'), number(week));
    show(find('#total'), number(sum(tracks)));
    const change = Math.round((100 * (week - before)) / before);
    find('#change').textContent = before === 0 || change === 0 ? '' : `, ${change < 0 ? '▼' : '▲'} ${Math.abs(change)} %`;
}

const rest = 10000;
let ranked = -Infinity;

const refresh = keepUpToDate(async () => {
    if (find('#of').length === 1) {
        await listTracks();
    }
    const work = [figures(), drawSeries()];
    if (Date.now() - ranked >= rest) {
        work.push(drawTop(top, 'top'), drawTop(releases, 'releases'));
    }
    await Promise.all(work);
    if (work.length > 2) {
        ranked = Date.now();
    }
    document.documentElement.dataset.drawn = true;
});

for (const choice of document.querySelectorAll('select')) {
    choice.addEventListener('change', () => {
        const track = find('#of').value;
        history.replaceState(null, '', track ? `?track=${encodeURIComponent(track)}` : location.pathname);
        ranked = -Infinity;
        refresh();
    });
}
