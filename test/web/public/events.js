// events.js: sends what a listener did, even while the page is going away.
//
// Each event has an id of its own, so one that is sent again is still one event.
export function sendEvent(kind, event) {
    const url = `/api/event/${kind}`;
    const body = new Blob([JSON.stringify(event)], { type: 'application/json' });
    if (!navigator.sendBeacon(url, body)) {
        // Too much is waiting to be sent, or something is in the way of beacons.
        fetch(url, { method: 'POST', body, keepalive: true }).catch(() => {});
    }
}
