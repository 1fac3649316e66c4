/**
 * Real-time speech-to-text over plain HTTP, for web pages and Node. It needs nothing but the files beside it:
 * event-source.js, event-stream.js, flush-marks.js, kept-audio.js, microphone.js, mp4-index.js, pcm-worklet.js, reach.js,
 * recording.js, reopening.js, results.js, retry.js, server-session.js, stt-codes.js, stt-events.js, stt-session.js,
 * stt-wire.js, transcript-formats.js and upload.js.
 *
 *     import { Microphone, STTClient } from 'http://localhost:8001/web/stt-client.js';
 *
 *     const client = new STTClient('http://localhost:8001');
 *     const session = await client.createSession({ language: 'ko', ...Microphone.FORMAT });
 *     session.addEventListener('token', ({ detail }) => showInterim(detail.text)); // replaces the one before
 *     session.addEventListener('final', ({ detail }) => append(detail.text));      // will not change
 *
 *     const microphone = await Microphone.open();
 *     microphone.addEventListener('pcm', ({ detail }) => session.send(detail));
 *     // … and when the speaker is done:
 *     await microphone.close();
 *     const transcript = await session.finish();
 *
 * Nothing is lost or doubled: audio goes up with offsets and is kept until finals account for it, over any number of cuts
 * and of servers that forget the session; events come down with ids, each once and in order.
 */

import { FetchEventSource } from './event-source.js';
import { Retry } from './retry.js';
import { STTSession } from './stt-session.js';
import { request, serverAway, Signal, STTError } from './stt-wire.js';

export { FetchEventSource } from './event-source.js';
export { Microphone } from './microphone.js';
export { Recording } from './recording.js';
export { CODES } from './stt-codes.js';
export { STTSession } from './stt-session.js';
export { STTError } from './stt-wire.js';

const OPEN_SECONDS = 15;
const FIRST_CONTACT_SECONDS = 5; // a wrong address should not look like a slow server
const TEN_MINUTES = 10 * 60 * 32_000; // in bytes of a microphone's audio
const DEFAULTS = { stallSeconds: 10, holdSeconds: 600, bufferBytes: TEN_MINUTES, chunkBytes: 65_536 };

/** @typedef {import('./stt-events.js').SessionConfig} SessionConfig */
/** @typedef {import('./stt-events.js').Waiting} Waiting */
/** @typedef {import('./stt-wire.js').JSONObject} JSONObject */
/** @typedef {import('./event-source.js').Fetch} Fetch */

/**
 * @typedef {object} OpenOptions
 * @property {number} [giveUpSeconds] for how long a session is tried for where the server is full, restarting or away: 60;
 *     5 at most until the server has answered once
 * @property {AbortSignal} [signal] ends the waiting; what is raised then is its reason
 * @property {(waiting: Waiting) => void} [onWaiting] called before each wait for another try
 */

/** One server. */
export class STTClient {
    #fetch;
    #base;
    #key;
    #hasAnswered = false;

    /**
     * @param {string | URL} [baseUrl] of the server; a page's own origin if left out
     * @param {object} [options]
     * @param {string} [options.apiKey] sent as a bearer token
     * @param {number} [options.stallSeconds] a stream that is silent for so long (heartbeats come each second) is dead
     * @param {number} [options.holdSeconds] for how long a session waits for a server that is away before it fails
     * @param {number} [options.bufferBytes] unconfirmed audio that a session keeps at most
     * @param {number} [options.chunkBytes] of one POST
     * @param {Fetch} [options.fetch]
     * @param {import('./event-stream.js').SourceClass} [options.EventSource]
     */
    constructor(baseUrl = globalThis.location?.origin, { apiKey, fetch, ...options } = {}) {
        this.#base = new URL(`${baseUrl}`.replace(/\/?$/, '/'));
        this.#key = apiKey;
        this.#fetch = fetch ?? /** @type {Fetch} */ ((...given) => globalThis.fetch(...given));
        const EventSource = globalThis.EventSource ?? FetchEventSource;
        this.options = { ...DEFAULTS, EventSource, ...options };
    }

    /** What the server can do, and its limits. @returns {Promise<JSONObject>} */
    async info() {
        return (await this.request('GET', 'info')).document;
    }

    /**
     * Open a session. Where the server is full, restarting or away it is tried again, and `onWaiting` told; any other
     * refusal (`invalid_request`, …) is raised at once.
     * @param {Partial<SessionConfig>} [config] @param {OpenOptions} [options]
     * @returns {Promise<STTSession>}
     */
    async createSession(config = {}, options = {}) {
        return new STTSession(this, await this.open(config, options));
    }

    /**
     * Take up a session that exists: `send` goes on at the first byte that the server lacks, events come from `after`.
     * @param {string} sessionId
     * @param {number} [after]
     * @returns {Promise<STTSession>}
     */
    async session(sessionId, after = 0) {
        const { document } = await this.request('GET', `sessions/${encodeURIComponent(sessionId)}`);
        return new STTSession(this, document, after);
    }

    /**
     * `createSession` without the session around it: what the server says of the new one.
     * @param {Partial<SessionConfig>} config
     * @param {OpenOptions & {tryAgain?: Signal}} options `tryAgain`: cuts a wait short
     * @returns {Promise<JSONObject>}
     */
    async open(config, { giveUpSeconds = 60, signal, onWaiting, tryAgain = new Signal() }) {
        const headers = { 'Content-Type': 'application/json' };
        const body = JSON.stringify({ config });
        const retry = new Retry();
        signal?.addEventListener('abort', () => tryAgain.fire(), { once: true });
        for (;;) {
            try {
                const { document } = await this.request('POST', 'sessions', { headers, body, seconds: OPEN_SECONDS });
                if (!document.session_id) throw serverAway('Something else answers at this address.');
                if (signal?.aborted) this.#discard(document);
                signal?.throwIfAborted();
                return document;
            } catch (error) {
                signal?.throwIfAborted();
                if (!(error instanceof STTError)) throw error;
                const longest = this.#hasAnswered ? giveUpSeconds : Math.min(giveUpSeconds, FIRST_CONTACT_SECONDS);
                const seconds = retry.delay(error, longest);
                onWaiting?.({ code: error.code, seconds });
                await tryAgain.wait(seconds);
                signal?.throwIfAborted();
            }
        }
    }

    /** @param {string} path below the server's address, also if it begins with a slash @returns {URL} */
    url(path) {
        return new URL(path.replace(/^\//, ''), this.#base);
    }

    /**
     * Ask once. Raises `STTError`.
     * @param {string} method @param {string} path
     * @param {import('./stt-wire.js').RequestOptions & {token?: string}} [options] `token`: of one session
     * @returns {Promise<import('./stt-wire.js').Answer>}
     */
    async request(method, path, { headers = {}, token, ...options } = {}) {
        const key = this.#key ?? token;
        const all = key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
        try {
            const answer = await request(this.#fetch, this.url(path), { method, headers: all, ...options });
            this.#hasAnswered = true;
            return answer;
        } catch (error) {
            if (error instanceof STTError && error.code !== 'server_away') this.#hasAnswered = true;
            throw error;
        }
    }

    /** A session that nobody waits for any more. @param {JSONObject} document */
    #discard({ session_id: id, session_token: token }) {
        const path = `sessions/${encodeURIComponent(id)}?purge=true`;
        this.request('DELETE', path, { token }).catch(() => {}); // then it expires
    }
}
