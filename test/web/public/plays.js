// plays.js: follows an <audio> element and reports each play once, when it is over.
//
// A play begins when its track starts to sound, and is over when the track ends,
// when another is chosen, or when the page goes away.  It is reported with the
// furthest position that was heard, as a share of the whole.  To jump somewhere
// is not to have heard it.
import { sendEvent } from './events.js';

export class PlayTracker {
    #audio;
    #play = null;

    constructor(audio) {
        this.#audio = audio;
        audio.addEventListener('playing', () => this.#begin());
        audio.addEventListener('seeking', () => this.#jump());
        audio.addEventListener('timeupdate', () => this.#listen());
        audio.addEventListener('ended', () => this.close());
        // Not visibilitychange: music goes on in a hidden tab.
        addEventListener('pagehide', () => this.#report());
    }

    // To be called before the element gets another track.
    close() {
        this.#report();
        this.#play = null;
    }

    #begin() {
        this.#play ??= {
            track: this.#audio.dataset.track,
            event_id: crypto.randomUUID(),
            from: this.#audio.currentTime,
            heard: 0,
            reported: false,
        };
    }

    #jump() {
        if (this.#play) {
            this.#play.from = this.#audio.currentTime;
        }
    }

    #listen() {
        const { currentTime, duration, seeking } = this.#audio;
        const play = this.#play;
        if (play && !seeking && currentTime > play.from && Number.isFinite(duration)) {
            play.heard = Math.max(play.heard, Math.min(1, currentTime / duration));
        }
    }

    // A page that comes back from the browser's cache goes on with a play that
    // has been reported.
    #report() {
        this.#listen();
        const play = this.#play;
        if (play && !play.reported && play.heard > 0) {
            play.reported = true;
            sendEvent('play', { track: play.track, heard: play.heard, event_id: play.event_id });
        }
    }
}
