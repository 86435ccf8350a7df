// web.test.js: listeners in a real browser, and what is in Postgres afterwards.
//
// Guards P3 (exact), P2 (release) and P8 (the web role's few rights) from where
// they matter.  Each test has tracks of its own; the last ones look at all rows.
//
// From the environment: PGHOST, PGPORT and PGUSER of a server that may be filled,
// PLAYEVENT_LOG, its log, SCREENSHOTS, a directory for pictures of the pages,
// PLAYEVENT_TIER, which web tier (tiers.js).
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { chromium } from 'playwright-core';
import { tiers } from './tiers.js';
import { tone } from './tone.js';

const tier = tiers[process.env.PLAYEVENT_TIER ?? 'node'];
const work = mkdtempSync(join(tmpdir(), 'web-'));
const pictures = process.env.SCREENSHOTS ?? work;

let owner, server, url, browser, logStart;
const complaints = []; // of pages

const rows = async (text, values) => (await owner.query({ text, values, rowMode: 'array' })).rows;

// Until a condition holds: what is recorded comes some time after it was sent.
async function until(condition, what) {
    const end = Date.now() + 30e3;
    while (!(await condition())) {
        assert.ok(Date.now() < end, `waited too long for ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}

const plays = (track) => rows('SELECT bucket::text FROM play_event WHERE track_entry_key = $1 ORDER BY id', [track]);
const recorded = (track, count = 1) => until(async () => (await plays(track)).length >= count, `plays of ${track}`);

before(async () => {
    logStart = statSync(process.env.PLAYEVENT_LOG).size;
    tier.make();
    owner = new pg.Pool({ user: 'owner', database: tier.database });

    const media = join(work, 'media');
    mkdirSync(media);
    for (const [key, seconds] of await rows('SELECT entry_key, seconds FROM track')) {
        writeFileSync(join(media, `${key}.wav`), tone(seconds, 440));
    }
    const [program, args, settings] = tier.start(media);
    server = spawn(program, args, { env: { ...process.env, ...settings }, stdio: ['ignore', 'pipe', 'inherit'] });
    server.lines = [];
    url = await new Promise((resolve, reject) => {
        createInterface({ input: server.stdout }).on('line', (line) => {
            server.lines.push(JSON.parse(line));
            const address = line.match(tier.listening);
            if (address) {
                resolve(address[1]);
            }
        });
        server.on('exit', () => reject(new Error(`no web tier: ${JSON.stringify(server.lines)}`)));
    });

    browser = await chromium.launch({
        executablePath: '/usr/bin/chromium',
        // It gets to know no host but this one.
        args: ['--disable-gpu', '--disable-quic', '--no-first-run', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
    });
});

after(async () => {
    await browser?.close();
    server?.kill();
    await owner?.end();
    rmSync(work, { recursive: true });
});

// A listener with a browser of their own, on the player's page.  What a browser says
// of requests that fail is no complaint where they are meant to.
async function listener({ fails = false } = {}) {
    const context = await browser.newContext();
    const page = await context.newPage();
    page.on('console', (message) => message.type() === 'error' && !(fails && message.text().startsWith('Failed to load'))
        && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(url);
    await page.locator('li').first().waitFor();
    return page;
}

const play = (page, track) => page.locator(`#${track} .play`).click();

// Listens up to a share of the track, and pauses there.
const listenTo = (page, share) => page.evaluate((share) => new Promise((resolve) => {
    const audio = document.querySelector('audio');
    audio.addEventListener('timeupdate', function heard() {
        if (audio.currentTime >= share * audio.duration) {
            audio.removeEventListener('timeupdate', heard);
            audio.pause();
            resolve();
        }
    });
}), share);

const post = (kind, event, options = {}) => new Promise((resolve, reject) => {
    const call = request(`${url}/api/event/${kind}`, {
        method: 'POST', headers: { 'content-type': 'application/json' }, ...options,
    }, (answer) => answer.resume().on('end', () => resolve(answer.statusCode)));
    call.on('error', reject).end(typeof event === 'string' ? event : JSON.stringify(event));
});

test('a moment is no play, a while is a partial one, and each is reported when another track is chosen', async () => {
    const page = await listener();
    await play(page, 'intro');
    await listenTo(page, 0.001);
    await play(page, 'river');
    await listenTo(page, 0.2);
    await play(page, 'intro');
    await recorded('river');
    await page.close();
    assert.deepEqual(await plays('river'), [['partial']]);
});

test('clicks that are faster than the music leave it as the last one says, and none is a complaint', async () => {
    const page = await listener();
    const click = (...tracks) => page.evaluate((tracks) => tracks.forEach((track) => document.querySelector(`#${track} .play`).click()), tracks);
    await click('intro', 'intro');
    assert.equal(await page.locator('audio').evaluate((audio) => audio.paused), true);
    await click('intro', 'harbour', 'river', 'river');
    assert.equal(await page.locator('audio').evaluate((audio) => `${audio.dataset.track} ${audio.paused}`), 'river true');
    await page.waitForFunction(() => !document.querySelector('li.playing'));

    await page.route('**/media/**', (route) => route.fulfill({ status: 200, contentType: 'text/plain', body: 'no music' }));
    await click('harbour');
    await page.getByText('can’t be played').waitFor();
    await page.close();
});

test('past half is most of it, and is reported when the page is left', async () => {
    const page = await listener();
    await play(page, 'harbour');
    await listenTo(page, 0.6);
    await page.goto(`${url}/charts.html`);
    await recorded('harbour');
    await page.close();
    assert.deepEqual(await plays('harbour'), [['most']]);
});

test('to the end is a complete play, and once more is another', async () => {
    const page = await listener();
    await play(page, 'signal');
    await recorded('signal', 1);
    await page.locator('audio').evaluate((audio) => audio.play());
    await recorded('signal', 2);
    await page.close();
    assert.deepEqual(await plays('signal'), [['complete'], ['complete']]);
});

test('a tab that is closed while the music plays has reported it', async () => {
    const page = await listener();
    await play(page, 'lantern');
    await page.waitForFunction(() => document.querySelector('audio').currentTime > 2);
    await page.close({ runBeforeUnload: true });
    await recorded('lantern');
    assert.equal((await plays('lantern')).length, 1);
});

test('a page that the browser brings back goes on with a play that was reported', async () => {
    const page = await listener();
    await play(page, 'harbour');
    await listenTo(page, 0.15);
    const reports = await page.evaluate(() => {
        const send = navigator.sendBeacon.bind(navigator);
        let reports = 0;
        navigator.sendBeacon = (...args) => ++reports && send(...args);
        dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));
        return new Promise((resolve) => {
            const audio = document.querySelector('audio');
            audio.addEventListener('ended', () => resolve(reports));
            audio.play();
        });
    });
    assert.equal(reports, 1);
    await page.close({ runBeforeUnload: true });
    await recorded('harbour', 2);
    assert.deepEqual((await plays('harbour'))[1], ['partial']);
});

test('to jump to the end is not to have heard it', async () => {
    const page = await listener();
    await play(page, 'lantern');
    await listenTo(page, 0.15);
    await page.locator('audio').evaluate((audio) => {
        audio.currentTime = audio.duration;
        audio.play();
    });
    await recorded('lantern', 2);
    await page.close();
    assert.deepEqual((await plays('lantern'))[1], ['partial']);
});

test('an event that is sent again is not another', async () => {
    const page = await listener();
    const answers = [];
    page.on('response', (response) => response.url().endsWith('/api/event/play') && answers.push(response.status()));
    // A beacon of which the page is told that it was not sent, though it was.
    await page.evaluate(() => {
        const send = navigator.sendBeacon.bind(navigator);
        navigator.sendBeacon = (...args) => send(...args) && false;
    });
    await play(page, 'engine');
    await until(() => answers.length === 2, 'both requests');
    await page.close();
    assert.deepEqual(answers, [204, 204]);
    assert.deepEqual(await plays('engine'), [['complete']]);

    const event = { track: 'engine', heard: 1, event_id: randomUUID() };
    const all = await Promise.all(Array.from({ length: 8 }, () => post('play', event)));
    assert.deepEqual(all, Array(8).fill(204));
    assert.equal((await plays('engine')).length, 2);
});

test('who clicks twice has shared once, and later once more', async () => {
    const shares = (channel) => rows(
        `SELECT count(*)::int FROM share_event WHERE track_entry_key = 'river' AND channel = $1`, [channel]);
    const page = await listener();
    await page.clock.install();
    await page.locator('#river .share').click();
    const button = (channel) => page.locator(`#share [data-channel=${channel}]`);
    await button('link').dblclick();
    await button('embed').click();
    await until(async () => (await shares('embed'))[0][0] === 1, 'the share');
    await page.clock.fastForward(10e3);
    await button('link').click();
    await until(async () => (await shares('link'))[0][0] >= 2, 'the later share');
    await page.close();
    assert.deepEqual([await shares('link'), await shares('embed')], [[[2]], [[1]]]);
});

test('what is malformed is turned away before it gets to Postgres', async () => {
    const good = { track: 'river', heard: 0.5, event_id: randomUUID() };
    const bad = [
        { ...good, track: '' }, { ...good, track: 'x'.repeat(101) }, { ...good, track: 'a\0b' }, { ...good, track: null },
        { ...good, heard: -0.1 }, { ...good, heard: 1.1 }, { ...good, heard: '0.5' }, { ...good, heard: null },
        { ...good, event_id: 'again' }, { ...good, event_id: undefined }, { ...good, release_id: 1 },
        [], 'heard', '', '{"heard":NaN}',
    ];
    for (const event of bad) {
        assert.equal(await post('play', event), 400, JSON.stringify(event));
    }
    assert.equal(await post('play', { ...good, track: 'x'.repeat(2000) }), 413);
    assert.equal(await post('share', { track: 'river', channel: 'fax', event_id: good.event_id }), 400);
    assert.equal(await post('play', { ...good, track: 'no-such-track' }), 404);
});

test('a flood from one address is cut off, and others are served meanwhile', async () => {
    const flood = Array.from({ length: 200 }, () =>
        post('play', { track: 'loose', heard: 0.7, event_id: randomUUID() }, { localAddress: '127.0.0.2' }));
    const other = await post('play', { track: 'loose', heard: 1, event_id: randomUUID() }, { localAddress: '127.0.0.3' });
    const answers = await Promise.all(flood);
    assert.equal(other, 204);
    assert.deepEqual([204, 429].map((status) => answers.filter((answer) => answer === status).length), [60, 140]);
    assert.equal((await plays('loose')).length, 61);
});

test('P2, P3: rows and counters are what all of that amounts to, and agree', async () => {
    assert.deepEqual(await rows('SELECT track_entry_key, partial, most, complete FROM play_by_track ORDER BY 1'), [
        ['engine', '0', '0', '2'],
        ['harbour', '1', '1', '0'],
        ['lantern', '2', '0', '0'],
        ['loose', '0', '60', '1'],
        ['river', '1', '0', '0'],
        ['signal', '0', '0', '2'],
    ]);
    assert.deepEqual(await rows('SELECT release_id, plays FROM play_by_release ORDER BY 1'), [['1', '3'], ['2', '6']]);
    assert.deepEqual(await rows('SELECT track_entry_key, release_id, channel::text, shares FROM share_counter ORDER BY 3'), [
        ['river', '1', 'embed', '1'],
        ['river', '1', 'link', '2'],
    ]);
    assert.deepEqual(await rows('SELECT count(*), count(DISTINCT event_id) FROM play_event'), [['70', '70']]);
    assert.deepEqual(await rows(`SELECT * FROM playevent.verify('play_event')`), []);
    assert.deepEqual(await rows(`SELECT * FROM playevent.verify('share_event')`), []);
});

test('charts show the plays of each day and track', async () => {
    // A month of late plays, more of them on some days and none on others
    await rows(`INSERT INTO play_event (track_entry_key, bucket, played_at)
                SELECT track, 'complete', now() - make_interval(days => d)
                  FROM generate_series(1, 40) d,
                       unnest('{intro,river,signal,harbour,lantern}'::text[]) WITH ORDINALITY t(track, n),
                       generate_series(1, (d * n) % 13)
                 WHERE d % 10 <> 4`);
    const page = await listener();
    await page.getByRole('link', { name: 'Charts' }).click();
    await page.locator('html[data-drawn]').waitFor();
    const drawn = await page.evaluate(() => ['series', 'top', 'releases'].map((id) => {
        const canvas = document.querySelector(`#${id}`);
        const { data } = window.Chart.getChart(canvas);
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return { labels: data.labels, plays: data.datasets[0].data, blank: pixels.every((value) => value === 0) };
    }));

    const [series, top, releases] = drawn;
    assert.deepEqual(drawn.map(({ blank }) => blank), [false, false, false]);
    const days = series.labels.map((label) => Date.parse(label) / 86400e3);
    assert.deepEqual(days, Array.from({ length: 30 }, (_, i) => days[0] + i), 'thirty days without a gap');
    const daily = new Map(await rows('SELECT day::text, count(*)::int FROM play_event GROUP BY 1'));
    assert.deepEqual(series.plays, series.labels.map((label) => daily.get(label) ?? 0));
    assert.ok(series.plays.includes(0));
    for (const [chart, named] of [[top, 'track ON entry_key = track_entry_key'], [releases, 'release ON release.id = release_id']]) {
        assert.deepEqual(chart.labels.map((label, i) => [label, chart.plays[i]]), await rows(
            `SELECT title, count(*)::int FROM play_event JOIN ${named}
              WHERE day BETWEEN $1 AND $2 GROUP BY 1 ORDER BY 2 DESC, 1`, [series.labels[23], series.labels[29]]), named);
    }
    const weeks = await (await fetch(`${url}/api/charts/series?days=365&track=river&step=week`)).json();
    assert.equal(weeks.reduce((sum, week) => sum + week.plays, 0), (await plays('river')).length);
    await page.close();
});

// So that a test need not wait for what a page does later
const later = (page, seconds) => page.clock.fastForward(seconds * 1000);

// As if the listener went to another tab, or came back
const show = (page, shown) => page.evaluate((shown) => {
    Object.defineProperty(document, 'hidden', { value: !shown, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
}, shown);

test('P3: the count beside a track moves after a play, and nothing else does', async () => {
    const page = await listener();
    const count = page.locator('#signal .plays');
    const before = (await plays('signal')).length;
    await until(async () => await count.textContent() === `${before} plays`, 'the count');
    const other = await page.locator('#intro .plays').textContent();
    assert.equal(other, `${(await plays('intro')).length} plays`);
    await page.evaluate(() => {
        window.changed = [];
        new MutationObserver((changes) => window.changed.push(...changes.map(({ target }) => target.closest('li')?.id)))
            .observe(document.querySelector('#releases'), { childList: true, subtree: true });
    });
    await play(page, 'signal');
    await recorded('signal', before + 1);
    await until(async () => await count.textContent() === `${before + 1} plays`, 'the count to move');
    // And the sum of its release, which is in no list
    assert.deepEqual(await page.evaluate(() => [...new Set(window.changed.map((id) => id ?? 'release'))].sort()), ['release', 'signal']);
    await page.close();
});

test('P3: charts move by themselves, are not drawn anew, and rest while nobody looks', async () => {
    const page = await listener();
    await page.clock.install();
    await page.goto(`${url}/charts.html`);
    await page.locator('html[data-drawn]').waitFor();
    const chart = () => page.evaluate(() => {
        const { data } = window.Chart.getChart('series');
        return [window.first === undefined || window.first === data, data.datasets[0].data.reduce((a, b) => a + b), data.datasets[0].data.at(-1)];
    });
    await page.evaluate(() => { window.first = window.Chart.getChart('series').data; });
    const [, sum, today] = await chart();
    await rows(`INSERT INTO play_event (track_entry_key, bucket) SELECT 'river', 'most' FROM generate_series(1, 7)`);
    await until(async () => {
        await later(page, 3);
        return (await chart())[1] > sum;
    }, 'the chart to move');
    assert.deepEqual(await chart(), [true, sum + 7, today + 7]);

    let asked = 0;
    await show(page, false);
    page.on('request', () => asked++);
    await later(page, 600);
    await later(page, 600);
    assert.equal(asked, 0, 'a page that is hidden asks for nothing');
    await show(page, true);
    await until(() => asked >= 2, 'the charts, once the page is shown again');
    await page.close();
});

const text = (page, selector) => page.locator(selector).textContent();
const numberOf = async (page, selector) => Number((await text(page, selector)).replace(/\D/g, ''));
const count = async (where) => Number((await rows(`SELECT count(*) FROM play_event WHERE ${where}`))[0][0]);
const today = `day = (now() AT TIME ZONE 'UTC')::date`;
const thisWeek = `day > (now() AT TIME ZONE 'UTC')::date - 7`;

test('P3: sums of releases, of today and of all are those of the log, and move', async () => {
    const page = await listener();
    const check = async () => {
        await until(async () => await numberOf(page, '#total') === await count('true'), 'the sum of all');
        await until(async () => await numberOf(page, '#today') === await count(today), 'the sum of today');
        const shown = await page.locator('.release').evaluateAll((releases) => releases.map((release) => [
            release.querySelector('h3').textContent, Number(release.querySelector('summary .plays').textContent.replace(/\D/g, '')),
        ]));
        assert.deepEqual(shown, await rows(`
            SELECT coalesce(release.title, 'Singles'), count(play_event.id)::int
              FROM track LEFT JOIN release ON release.id = release_id LEFT JOIN play_event ON track_entry_key = entry_key
             GROUP BY release.id ORDER BY release.id`));
    };
    await check();
    await rows(`INSERT INTO play_event (track_entry_key, bucket) SELECT 'lantern', 'most' FROM generate_series(1, 1200)`);
    await check();
    assert.equal(await text(page, '#lantern .plays'), `${new Intl.NumberFormat('en').format(await count(`track_entry_key = 'lantern'`))} plays`);
    await page.close();
});

test('P3: the top of the week is the log\'s, follows it, and can be played from', async () => {
    const page = await listener();
    await page.clock.install();
    await page.goto(url);
    const shown = () => page.locator('#week li').evaluateAll((items) => items.map((item) => [
        item.querySelector('.title').textContent, Number(item.querySelector('.plays').textContent.replace(/\D/g, '')),
    ]));
    const wanted = () => rows(`SELECT title, count(*)::int FROM play_event JOIN track ON entry_key = track_entry_key
                                WHERE ${thisWeek} GROUP BY 1 ORDER BY 2 DESC, 1`);
    const settle = async () => {
        const list = JSON.stringify(await wanted());
        await until(async () => {
            await later(page, 5);
            return JSON.stringify(await shown()) === list;
        }, `the week to be ${list}`);
    };
    await settle();
    const [[first]] = await wanted();
    assert.notEqual(first, 'Hollow Static');
    await rows(`INSERT INTO play_event (track_entry_key, bucket) SELECT 'loose', 'most' FROM generate_series(1, 3000)`);
    await settle();
    const button = page.locator('#week .play').first();
    assert.equal(await button.getAttribute('aria-label'), 'Play Hollow Static');
    await button.click();
    await page.locator('#loose.playing').waitFor();
    await page.close({ runBeforeUnload: true });
});

test('the series says what is not over, and is of the track and the steps that are chosen', async () => {
    const page = await listener();
    await page.locator('#harbour .plays').click();
    await page.locator('html[data-drawn]').waitFor();
    assert.equal(await page.locator('#of').inputValue(), 'harbour', 'a track\'s count leads to its chart');
    const chart = () => page.evaluate(() => {
        const chart = window.Chart.getChart('series');
        return {
            labels: chart.data.labels,
            plays: chart.data.datasets[0].data,
            hatched: chart.getDatasetMeta(0).data.map((bar) => bar.options.backgroundColor instanceof CanvasPattern),
        };
    });
    for (const [over, step, first, so_far] of [
        ['day 30', 'day', `(now() AT TIME ZONE 'UTC')::date - 29`, 'today so far'],
        ['day 90', 'day', `(now() AT TIME ZONE 'UTC')::date - 89`, 'today so far'],
        ['week 26', 'week', `date_trunc('week', now() AT TIME ZONE 'UTC')::date - 7 * 25`, 'this week so far'],
        ['month 12', 'month', `(date_trunc('month', now() AT TIME ZONE 'UTC') - interval '11 months')::date`, 'this month so far'],
    ]) {
        await page.locator('#over').selectOption(over);
        await page.locator('.legend', { hasText: so_far }).waitFor();
        const wanted = new Map(await rows(`
            SELECT date_trunc($1, day)::date::text, count(*)::int FROM play_event
             WHERE track_entry_key = 'harbour' AND day >= ${first} GROUP BY 1`, [step]));
        const [[since]] = await rows(`SELECT (${first})::text`);
        await until(async () => (await chart()).labels[0] === since && (await chart()).labels.length === Number(over.split(' ')[1]), `${over} since ${since}`);
        const { labels, plays, hatched } = await chart();
        assert.deepEqual(plays, labels.map((label) => wanted.get(label) ?? 0), over);
        assert.deepEqual(hatched, labels.map((label, i) => i === labels.length - 1), 'the last bar alone is hatched');
    }
    assert.match(await page.locator('#series').getAttribute('aria-label'), /plays of Quiet Harbour by month/);
    await page.getByText('As a table').first().click();
    const lines = page.getByRole('row');
    assert.equal(await lines.count(), 12);
    assert.match(await lines.last().textContent(), /plays? so far$/);

    await page.locator('#of').selectOption('');
    await page.locator('#days').selectOption('365');
    await until(async () => (await chart()).plays.reduce((a, b) => a + b) === await count('true'), 'the chart of all tracks');
    const most = () => page.evaluate(() => window.Chart.getChart('releases').data.datasets[0].data);
    const all = (await rows(`SELECT count(*)::int FROM play_event WHERE release_id IS NOT NULL GROUP BY release_id ORDER BY 1 DESC`)).flat();
    await until(async () => JSON.stringify(await most()) === JSON.stringify(all), 'the chart of a year');
    await page.close();
});

test('by keyboard: the player can be skipped to, tracks start and stop, and all has a name', async () => {
    const page = await listener();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'player');

    await page.goto(`${url}#intro`);
    await page.reload();
    await page.locator('#intro .play:focus').waitFor(); // to which the shared link leads
    await page.keyboard.press('Enter');
    await page.getByText('Intro · Silver River LP').waitFor();
    await page.locator('#intro').getByRole('button', { name: 'Pause Intro' }).waitFor();
    await page.keyboard.press('Enter');
    await page.locator('#intro').getByRole('button', { name: 'Play Intro' }).waitFor();
    assert.equal(await page.locator('audio').evaluate((audio) => audio.paused), true);
    await page.keyboard.press('Enter');
    await page.locator('#intro.playing').waitFor();

    await page.locator('#intro .share').focus();
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.dataset.channel), 'link');
    await page.keyboard.press('Escape');
    assert.equal(await page.evaluate(() => document.activeElement.className), 'share');
    for (const address of [url, `${url}/charts.html`]) {
        await page.goto(address);
        await page.locator(address === url ? '#week li' : 'html[data-drawn]').first().waitFor();
        const snapshot = await page.locator('body').ariaSnapshot();
        assert.doesNotMatch(snapshot, /- (button|link|combobox|img)(:|$)/m, 'what can be used has a name');
    }
    await page.close();
});

// The contrast of each text on a page with what is behind it, where that is too low.
const pale = (page) => page.evaluate(() => {
    const pen = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const light = (colours) => {
        for (const colour of colours) {
            pen.fillStyle = colour;
            pen.fillRect(0, 0, 1, 1);
        }
        const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map((c) => (c <= 10 ? c / 3294 : ((c / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => (element ? [...behind(element.parentElement), getComputedStyle(element).backgroundColor] : []);
    const found = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement;
        if (texts.currentNode.textContent.trim() && element.checkVisibility() && !element.getAnimations().length) {
            const [a, b] = [light([...behind(element), getComputedStyle(element).color]), light(behind(element))];
            const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (contrast < 4.5) {
                found.push(`${texts.currentNode.textContent}: ${contrast.toFixed(1)}`);
            }
        }
    }
    return found;
});

test('pages fit a phone and a desk, in light and in dark colours', async () => {
    const page = await listener();
    const series = () => page.evaluate(() => window.Chart.getChart('series').getDatasetMeta(0).data[0].options.backgroundColor);
    const ink = () => page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue('--series'));
    for (const width of [390, 1280]) {
        await page.setViewportSize({ width, height: 844 });
        for (const [name, address, drawn] of [['player', url, '#week li'], ['charts', `${url}/charts.html`, 'html[data-drawn]']]) {
            await page.goto(address);
            await page.locator(drawn).first().waitFor();
            const seen = new Set();
            for (const colorScheme of ['light', 'dark']) {
                await page.emulateMedia({ colorScheme });
                assert.deepEqual(await pale(page), [], `${name}, ${colorScheme}`);
                seen.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
                if (name === 'charts') {
                    await until(async () => await series() === await ink(), 'the chart to be drawn in these colours');
                    seen.add(await series());
                }
                await page.screenshot({ path: join(pictures, `${name}-${width}-${colorScheme}.png`), fullPage: name === 'charts' });
            }
            assert.equal(seen.size, name === 'charts' ? 4 : 2, 'dark is another than light');
            assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} fits ${width} pixels`);
        }
    }
    await page.close();
});

test('P3: a page whose web tier is away says so, keeps its numbers, and goes on', async () => {
    const page = await listener({ fails: true });
    await page.clock.install();
    const status = page.getByRole('status');
    const count = page.locator('#river .plays');
    await page.goto(url);
    await count.filter({ hasText: 'plays' }).waitFor();
    assert.equal(await status.textContent(), '');
    const before = await count.textContent();
    let asked = 0;
    await page.route('**/api/**', (route) => (++asked % 2 ? route.abort() : route.fulfill({ status: 503, body: '{}' })));
    await until(async () => {
        await later(page, 60);
        return asked >= 4;
    }, 'several tries');
    assert.match(await status.textContent(), /Not up to date/);
    assert.equal(await count.textContent(), before);
    await page.unroute('**/api/**');
    await until(async () => {
        await later(page, 60);
        return await status.textContent() === '';
    }, 'the page to be up to date');
    assert.equal(await count.textContent(), before);
    await page.close();
});

test('nobody had a complaint: pages, web tier, Postgres', async () => {
    await browser.close();
    const ended = new Promise((resolve) => server.once('exit', (...how) => resolve(how)));
    server.kill('SIGTERM');
    assert.deepEqual(await ended, [0, null], 'the web tier ends when it is told to');
    assert.deepEqual(complaints, []);
    assert.deepEqual(server.lines.filter(tier.isComplaint), []);

    const log = readFileSync(process.env.PLAYEVENT_LOG).subarray(logStart).toString();
    const errors = log.split('\n').filter((line) => /(WARNING|ERROR|FATAL|PANIC):/.test(line));
    const expected = [...tier.errors, /unknown track in column "track_entry_key"/];
    assert.equal(errors.length, expected.length, log);
    expected.forEach((error, i) => assert.match(errors[i], error));
});
