// What tests of the JavaScript client share.

import { FetchEventSource } from '../../server/web/event-source.js';

const TOLD = ['token', 'final', 'speech_start', 'speech_end', 'error', 'session_end'];
const OWN = ['connection', 'waiting', 'reopened', 'failed'];

/** Tries again at once, so that a test with many cuts does not wait for each. */
export class EventSource extends FetchEventSource {
    constructor(url, fetch) {
        super(url, { fetch, retrySeconds: 0.03 });
    }
}

class Events extends Array {
    of(wanted) {
        return [...this].filter(([type]) => type === wanted).map(([, detail]) => detail);
    }

    get texts() {
        return this.of('final').map(({ text }) => text);
    }
}

/** The events of a session, as they come: `[type, detail]`. */
export function recorded(session) {
    const events = new Events();
    for (const type of [...TOLD, ...OWN]) session.addEventListener(type, ({ detail }) => events.push([type, detail]));
    return events;
}

/** The detail of the next event of that type, or of the next for which `isWanted` holds. */
export function next(target, type, isWanted = () => true) {
    return new Promise((resolve) => {
        target.addEventListener(type, function listen({ detail }) {
            if (!isWanted(detail)) return;
            target.removeEventListener(type, listen);
            resolve(detail);
        });
    });
}

/** A generator of the same numbers in every run. */
export function seeded(seed) {
    return () => {
        seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
        return seed / 2 ** 32;
    };
}
