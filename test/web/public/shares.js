// shares.js: the popover by which a track is shared, and the report of it.
import { sendEvent } from './events.js';

const impatience = 2000;

export class SharePopover {
    #element;
    #track;
    #last = new Map();

    constructor(element) {
        this.#element = element;
        for (const button of element.querySelectorAll('button[data-channel]')) {
            button.addEventListener('click', () => this.#share(button.dataset.channel));
        }
        element.querySelector('[data-channel=native]').hidden = !navigator.share;
    }

    open(track, title) {
        this.#track = track;
        this.#element.querySelector('p').textContent = title;
        this.#say('');
        this.#element.showPopover();
    }

    #share(channel) {
        const url = new URL(`/#${encodeURIComponent(this.#track)}`, location);
        this.#report(channel);
        if (channel === 'native') {
            navigator.share({ url: url.href }).catch(() => {}); // they thought better of it
        } else {
            const text = channel === 'embed' ? `<iframe src="${url}"></iframe>` : url.href;
            navigator.clipboard?.writeText(text).then(() => this.#say('Copied'), () => this.#say(text));
        }
    }

    #say(text) {
        this.#element.querySelector('output').textContent = text;
    }

    // Someone who clicks again at once has not shared again.
    #report(channel) {
        const what = `${channel} ${this.#track}`;
        const before = this.#last.get(what) ?? -Infinity;
        const now = Date.now();
        this.#last.set(what, now);
        if (now - before >= impatience) {
            sendEvent('share', { track: this.#track, channel, event_id: crypto.randomUUID() });
        }
    }
}
