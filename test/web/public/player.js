// player.js: the player's page.
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
for (const track of await (await fetch('/api/tracks')).json()) {
    const item = template.content.cloneNode(true);
    item.querySelector('.title').textContent = track.title;
    item.querySelector('.play').addEventListener('click', () => choose(track));
    item.querySelector('.share').addEventListener('click', () => shares.open(track.entry_key));
    item.querySelector('li').id = track.entry_key;
    document.querySelector('ul').append(item);
}
