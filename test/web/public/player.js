// player.js: the page with all releases, and the player.
import { keepUpToDate, read } from './live.js';
import { number, plays, show, sum } from './numbers.js';
import { PlayTracker } from './plays.js';
import { SharePopover } from './shares.js';

const find = (selector, from = document) => from.querySelector(selector);
const audio = find('audio');
const tracker = new PlayTracker(audio);
const shares = new SharePopover(find('#share'));

//
// Playing
//

// A start that the next click ends before there is sound (AbortError) is no failure.
async function start(track) {
    try {
        await audio.play();
    } catch (error) {
        if (error.name !== 'AbortError') {
            find('#player p').textContent = `${track.title} can’t be played`;
        }
    }
}

function choose(track) {
    if (audio.dataset.track === track.entry_key) {
        if (audio.paused) {
            start(track);
        } else {
            audio.pause();
        }
        return;
    }
    tracker.close();
    audio.dataset.track = track.entry_key;
    audio.src = `/media/${encodeURIComponent(track.entry_key)}.wav`;
    find('#player p').textContent = track.release ? `${track.title} · ${track.release}` : track.title;
    start(track);
}

function markAs(item, playing) {
    item.classList.toggle('playing', playing);
    const button = find('.play', item);
    button.textContent = playing ? '❚❚' : '▶';
    button.setAttribute('aria-label', `${playing ? 'Pause' : 'Play'} ${find('.title', item).textContent}`);
}

// A track may be on the page twice.
function mark() {
    for (const item of document.querySelectorAll('li')) {
        const playing = item.dataset.track === audio.dataset.track && !audio.paused;
        if (playing !== item.classList.contains('playing')) {
            markAs(item, playing);
        }
    }
}
for (const event of ['play', 'pause', 'ended', 'emptied']) {
    audio.addEventListener(event, mark);
}

//
// Lists
//

const tracks = new Map();
const counts = new Map(); // where a number is shown, and of which tracks it is the sum

function makeItem(track) {
    const item = find('#track').content.cloneNode(true).firstElementChild;
    item.dataset.track = track.entry_key;
    find('.title', item).textContent = track.title;
    markAs(item, false);
    find('.play', item).addEventListener('click', () => choose(track));
    find('.plays', item).href = `charts.html?track=${encodeURIComponent(track.entry_key)}`;
    find('.share', item).setAttribute('aria-label', `Share ${track.title}`);
    find('.share', item).addEventListener('click', () => shares.open(track.entry_key, track.title));
    return item;
}

// Each release has a cover, which is made of its name.  Where there is little room, the
// first one is open.
const roomy = matchMedia('(min-width: 50rem)').matches;

function makeRelease(title) {
    const release = find('#release').content.cloneNode(true).firstElementChild;
    const hash = [...title].reduce((hash, letter) => (hash * 31 + letter.codePointAt(0)) % 9973, 7);
    find('h3', release).textContent = title;
    find('.cover', release).style.cssText = `--hue: ${hash % 360}; --x: ${25 + hash % 50}%`;
    release.open = roomy || !find('.release');
    find('#releases').append(release);
    return release;
}

async function list() {
    const releases = new Map();
    for (const track of await read('/api/tracks')) {
        tracks.set(track.entry_key, track);
        const title = track.release ?? 'Singles';
        if (!releases.has(title)) {
            releases.set(title, makeRelease(title));
            counts.set(find('summary .plays', releases.get(title)), []);
        }
        const item = makeItem(track);
        item.id = track.entry_key;
        find('ul', releases.get(title)).append(item);
        counts.set(find('.plays', item), [track.entry_key]);
        counts.get(find('summary .plays', releases.get(title))).push(track.entry_key);
    }
}

// What a link that was shared leads to
function showLinked() {
    const key = decodeURIComponent(location.hash.slice(1));
    const item = [...document.querySelectorAll('#releases li')].find(({ dataset }) => dataset.track === key);
    if (item) {
        item.closest('details').open = true;
        item.scrollIntoView({ block: 'center' });
        find('.play', item).focus({ preventScroll: true });
    }
}

// The tracks of the week, made anew when there are others or they changed places.
function rank(top) {
    const list = find('#week ol');
    const listed = top.filter(({ entry_key }) => tracks.has(entry_key));
    if ([...list.children].map((item) => item.dataset.track).join() !== listed.map((row) => row.entry_key).join()) {
        const there = new Map([...list.children].map((item) => [item.dataset.track, item]));
        list.replaceChildren(...listed.map(({ entry_key }) => there.get(entry_key) ?? makeItem(tracks.get(entry_key))));
        mark();
    }
    listed.forEach((row, i) => show(find('.plays', list.children[i]), plays(row.plays)));
    find('#week').hidden = listed.length === 0;
}

//
// Numbers
//

// A chart takes the database longer than counts do, so it is read less often.
const rest = 10000;
let ranked = -Infinity;

keepUpToDate(async () => {
    if (tracks.size === 0) {
        await list();
        showLinked();
    }
    const [rows, [today]] = await Promise.all([read('/api/plays'), read('/api/charts/series?days=1')]);
    const played = new Map(rows.map((row) => [row.entry_key, row.plays]));
    for (const [element, of] of counts) {
        show(element, plays(of.reduce((all, track) => all + (played.get(track) ?? 0), 0)));
    }
    show(find('#total'), number(sum(rows)));
    show(find('#today'), number(today.plays));
    if (Date.now() - ranked >= rest) {
        rank(await read('/api/charts/top?days=7'));
        ranked = Date.now();
    }
});
