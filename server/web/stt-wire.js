// What the client and its sessions share: errors, one request, events with types, waiting.

import { actionOnAnswer } from './stt-codes.js';

const REQUEST_SECONDS = 40; // longer than a server waits for room before it answers 429

/** @typedef {Record<string, any>} JSONObject what the server says; a newer server may say more */

/**
 * Everything that goes wrong. `code` is one of the server's, or
 * `server_away` (no usable answer), `session_lost` (the session cannot go on, not in a new one either),
 * `buffer_full` (more audio waits than may), `closed` (after `finish` or `close`), and the microphone's
 * `insecure_origin`, `permission_denied`, `no_microphone`, `microphone_busy`.
 */
export class STTError extends Error {
    /**
     * @param {string} code
     * @param {string} detail
     * @param {{status?: number, retryAfter?: number, document?: JSONObject, cause?: unknown}} [more]
     */
    constructor(code, detail, { status = 0, retryAfter = 0, document = {}, cause } = {}) {
        super(detail, { cause });
        this.name = 'STTError';
        this.code = code;
        /** The HTTP status; 0 where there was no answer. */
        this.status = status;
        /** Seconds that the server asks to wait. */
        this.retryAfter = retryAfter;
        /** The whole problem document. */
        this.document = document;
        /** What the module does about it. */
        this.action = actionOnAnswer(code, status);
    }

    /** Whether another try of the same request can help. */
    get retryable() {
        return this.action === 'retry' || this.action === 'wait' || this.action === 'resume';
    }
}

/** @param {string} detail @param {{status?: number, retryAfter?: number, document?: JSONObject, cause?: unknown}} [more] */
export function serverAway(detail, more = {}) {
    return new STTError('server_away', detail, more);
}

export function closed() {
    return new STTError('closed', 'The session takes no more audio.');
}

/** @typedef {{status: number, text: string, document: JSONObject}} Answer */
/** @typedef {Omit<RequestInit, 'headers'> & {headers?: Record<string, string>, seconds?: number}} RequestOptions */

/**
 * Ask once. Raises `STTError`.
 * @param {import('./event-source.js').Fetch} fetch @param {URL} url @param {RequestOptions} options
 * @returns {Promise<Answer>}
 */
export async function request(fetch, url, { signal, seconds = REQUEST_SECONDS, ...options }) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), seconds * 1000);
    signal?.addEventListener('abort', () => stop.abort());
    let answer, text;
    try {
        answer = await fetch(url, { cache: 'no-store', ...options, signal: stop.signal });
        text = await answer.text();
    } catch (cause) {
        throw serverAway('The server does not answer.', { cause });
    } finally {
        clearTimeout(timer);
    }
    const isJSON = /json/.test(answer.headers.get('Content-Type') ?? '');
    const document = isJSON ? parsed(text) : {};
    if (!answer.ok) throw refusal(answer, document);
    return { status: answer.status, text, document };
}

/** The error that a problem document stands for. @param {Response} answer @param {JSONObject} document */
function refusal(answer, document) {
    const { status } = answer;
    const seconds = answer.headers.get('Retry-After') ?? ''; // a date, the other form, is left to the backoff
    const retryAfter = /^\d+$/.test(seconds) ? Number(seconds) : 0;
    const detail = document.detail ?? answer.statusText;
    const error = new STTError(document.code ?? `http_${status}`, detail, { status, retryAfter, document });
    // without a code it is a proxy that answers, in place of a server that it can't reach
    return !document.code && error.retryable ? serverAway(`${detail} (${status})`, { status, retryAfter, document }) : error;
}

/** @param {string} text @returns {JSONObject} empty for what is no JSON object */
export function parsed(text) {
    try {
        return Object(JSON.parse(text));
    } catch {
        return {};
    }
}

/**
 * An event target that knows its events: `Events` maps each type to its `detail`.
 * @template {object} Events
 */
export class Emitter extends EventTarget {
    /**
     * @template {keyof Events & string} Type
     * @overload
     * @param {Type} type
     * @param {(event: CustomEvent<Events[Type]>) => void} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     */
    /**
     * @overload
     * @param {string} type
     * @param {EventListenerOrEventListenerObject | null} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     */
    /**
     * @param {string} type
     * @param {any} listener
     * @param {boolean | AddEventListenerOptions} [options]
     */
    addEventListener(type, listener, options) {
        super.addEventListener(type, listener, options);
    }

    /**
     * Dispatch an event of that type.
     * @template {keyof Events & string} Type
     * @param {Type} type @param {Events[Type]} detail
     */
    tell(type, detail) {
        this.dispatchEvent(new CustomEvent(type, { detail }));
    }
}

/** Something to wait for. */
export class Signal {
    /** @type {Set<() => void>} */
    #waiting = new Set();

    /** @param {number} [seconds] at most so long @returns {Promise<void>} */
    wait(seconds) {
        return new Promise((resolve) => {
            const timer = seconds === undefined ? undefined : setTimeout(() => wake(), seconds * 1000);
            const wake = () => {
                clearTimeout(timer);
                this.#waiting.delete(wake);
                resolve();
            };
            this.#waiting.add(wake);
        });
    }

    fire() {
        for (const wake of [...this.#waiting]) wake();
    }
}
