// live.js: keeps up to date what a page shows, for as long as somebody can see it.
const pause = 3000;
const longest = 60000;

// Calls update at once, then some time after each time it has ended; not while the
// page is hidden, and at once when it is shown again.  When it fails, the page goes
// on showing what it has, says so in its status line, and waits longer each time.
// Returns a function that calls update out of turn.
export function keepUpToDate(update) {
    const status = document.querySelector('[role=status]');
    let failures = 0;
    let busy = false;
    let again = false;
    let timer;

    async function turn() {
        clearTimeout(timer);
        if (busy || document.hidden) {
            again = busy;
            return;
        }
        busy = true;
        again = false;
        try {
            await update();
            failures = 0;
        } catch (error) {
            failures++;
            console.info(error);
        }
        busy = false;
        status.textContent = failures > 0 ? 'Not up to date. Trying again …' : '';
        timer = setTimeout(turn, again ? 0 : Math.min(pause * 2 ** failures, longest));
    }

    document.addEventListener('visibilitychange', turn);
    turn();
    return turn;
}

export async function read(url) {
    const answer = await fetch(url, { signal: AbortSignal.timeout(10000) });
    if (!answer.ok) {
        throw new Error(`${url}: ${answer.status}`);
    }
    return answer.json();
}
