import { delaySeconds } from './retry.js';
import { parsed, Signal, STTError } from './stt-wire.js';

const CLOSED = 2; // EventSource's

/**
 * What is used of an `EventSource`.
 * @typedef {object} Source
 * @property {number} readyState
 * @property {((message: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onerror
 * @property {() => void} close
 */
/** @typedef {new (url: string) => Source} SourceClass */

/**
 * @typedef {object} EventStreamOptions
 * @property {SourceClass} EventSource
 * @property {number} stallSeconds without a frame for so long the connection is dead, whatever TCP says
 * @property {() => Promise<import('./stt-wire.js').JSONObject>} describe the session as the server sees it
 * @property {(type: string, detail: any) => void} onEvent
 * @property {(reached: boolean) => void} onReached
 * @property {() => void} onStalled
 * @property {(error: unknown) => void} onFailed nothing comes any more
 */

/** The events of one session of the server, each once and in order, over any number of native `EventSource`s. */
export class EventStream {
    #url;
    #options;
    /** @type {Source | null} */
    #source = null;
    #lastFrame = 0;
    #failures = 0;
    #watchdog;
    #tryAgain = new Signal();

    /** @param {URL} url @param {number} after the id of the last event that is known @param {EventStreamOptions} options */
    constructor(url, after, options) {
        this.#url = url;
        /** The id of the newest event. */
        this.lastEventId = after;
        this.#options = options;
        this.#watchdog = setInterval(() => this.#watch(), 1000);
        this.#listen();
    }

    /** Do not wait before the next try. */
    hurry() {
        this.#tryAgain.fire();
    }

    close() {
        clearInterval(this.#watchdog);
        this.#source?.close();
        this.#source = null;
        this.#tryAgain.fire();
    }

    #listen() {
        this.#source?.close();
        if (this.lastEventId) this.#url.searchParams.set('last_event_id', `${this.lastEventId}`);
        const source = new this.#options.EventSource(this.#url.href);
        this.#source = source;
        this.#lastFrame = Date.now();
        source.onmessage = (message) => {
            if (source === this.#source) this.#take(message);
        };
        source.onerror = () => {
            if (source !== this.#source) return;
            this.#options.onReached(false);
            if (source.readyState === CLOSED) this.#listenAgain(source);
        };
    }

    /** @param {import('./event-source.js').Message} message */
    #take({ data, lastEventId }) {
        this.#lastFrame = Date.now();
        this.#failures = 0;
        this.#options.onReached(true);
        const { event_type: type, data: detail = {} } = parsed(data);
        if (!type) return;
        if (type !== 'heartbeat' && lastEventId) {
            if (Number(lastEventId) <= this.lastEventId) return;
            this.lastEventId = Number(lastEventId);
        }
        this.#options.onEvent(type, detail);
    }

    /** The browser has given up, as it does after any answer but 200: find out why. @param {Source} source */
    async #listenAgain(source) {
        let retryAfter = 0;
        while (source === this.#source) {
            if (this.#failures++) await this.#tryAgain.wait(delaySeconds(this.#failures, retryAfter));
            if (source !== this.#source) return;
            try {
                const state = await this.#options.describe();
                if (source !== this.#source) return;
                if (state.status !== 'ended' || state.last_event_id > this.lastEventId) this.#listen();
                else this.#options.onEvent('session_end', { reason: state.reason });
                return;
            } catch (error) {
                if (source !== this.#source) return;
                if (!(error instanceof STTError) || !error.retryable) return this.#options.onFailed(error);
                retryAfter = error.retryAfter;
            }
        }
    }

    #watch() {
        if (Date.now() - this.#lastFrame < this.#options.stallSeconds * 1000) return;
        this.#options.onReached(false);
        this.#options.onStalled();
        this.#listen();
    }
}
