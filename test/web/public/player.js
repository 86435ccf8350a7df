// player.js: the player's page.
import { keepUpToDate, read } from './live.js';
import { PlayTracker } from './plays.js';
import { SharePopover } from './shares.js';

const audio = document.querySelector('audio');
const plays = new PlayTracker(audio);
const shares = new SharePopover(document.querySelector('#share'));

function choose(track) {
    plays.close();
    audio.dataset.track = track.entry_key;
    audio.src = `/media/${encodeURIComponent(track.entry_key)}.wav`;
    audio.play();
}

const template = document.querySelector('template');
const counts = new Map(); // of each track, where its count is shown

async function list() {
    for (const track of await read('/api/tracks')) {
        const item = template.content.cloneNode(true);
        item.querySelector('.title').textContent = track.title;
        item.querySelector('.play').addEventListener('click', () => choose(track));
        item.querySelector('.share').addEventListener('click', () => shares.open(track.entry_key));
        item.querySelector('li').id = track.entry_key;
        counts.set(track.entry_key, item.querySelector('.plays'));
        document.querySelector('ul').append(item);
    }
}

await keepUpToDate(async () => {
    if (counts.size === 0) {
        await list();
    }
    const plays = new Map((await read('/api/plays')).map((row) => [row.entry_key, row.plays]));
    for (const [track, count] of counts) {
        const n = plays.get(track) ?? 0;
        const text = `${n} ${n === 1 ? 'play' : 'plays'}`;
        if (count.textContent !== text) {
            count.textContent = text;
        }
    }
});
