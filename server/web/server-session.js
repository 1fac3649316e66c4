import { EventStream } from './event-stream.js';
import { delaySeconds } from './retry.js';
import { Signal } from './stt-wire.js';
import { Upload } from './upload.js';

const FINISH_SECONDS = 90; // longer than a server waits for the last finals

/** @typedef {import('./stt-wire.js').JSONObject} JSONObject */

/**
 * @typedef {object} Audio what goes up
 * @property {import('./kept-audio.js').KeptAudio} kept
 * @property {import('./flush-marks.js').FlushMarks} marks
 * @property {number} base offset in `kept` of the server's first byte
 */

/**
 * @typedef {object} Listener
 * @property {(type: string, detail: any) => void} onEvent
 * @property {(reached: boolean) => void} onReached
 * @property {(error: unknown) => void} onFailed no event comes any more
 * @property {() => void} onConfirmed
 */

/** One session of the server: its address, the upload to it and the events from it. */
export class ServerSession {
    #client;
    #path;
    #token;
    #listener;
    /** @type {EventStream | null} */
    #stream = null;
    #lastEventId;

    /**
     * @param {import('./stt-client.js').STTClient} client
     * @param {JSONObject} document what the server says of it
     * @param {Audio} audio
     * @param {number} after the id of the last event that is known
     * @param {Listener} listener
     */
    constructor(client, document, { kept, marks, base }, after, listener) {
        /** @type {string} */
        this.id = document.session_id;
        /** @type {string} */
        this.engine = document.engine ?? '';
        this.#client = client;
        this.#path = `sessions/${encodeURIComponent(this.id)}`;
        this.#token = document.session_token;
        this.#listener = listener;
        this.#lastEventId = after;
        this.upload = new Upload(kept, marks, base, {
            chunkBytes: client.options.chunkBytes,
            post: (path, options) => this.request('POST', `/${path}`, options),
            onConfirmed: listener.onConfirmed,
        });
    }

    /** Read the events, from the last one that is known on. */
    listen() {
        const { EventSource, stallSeconds } = this.#client.options;
        this.#stream = new EventStream(this.#client.url(`${this.#path}/stream`), this.#lastEventId, {
            EventSource,
            stallSeconds,
            describe: () => this.state(),
            onEvent: this.#listener.onEvent,
            onReached: this.#listener.onReached,
            onStalled: () => this.upload.abort(),
            onFailed: this.#listener.onFailed,
        });
    }

    /** Do not wait before the next try to read events. */
    hurry() {
        this.#stream?.hurry();
    }

    /** Neither send nor read any more. */
    close() {
        this.upload.abort();
        this.#lastEventId = this.#stream?.lastEventId ?? this.#lastEventId;
        this.#stream?.close();
    }

    /** @returns {Promise<JSONObject>} the session as the server sees it */
    async state() {
        return (await this.request('GET')).document;
    }

    /**
     * Have the server recognise what is left. Raises what `onRefused` raises.
     * @param {object} react
     * @param {() => boolean} react.isOver whether it is not worth asking any more
     * @param {(error: unknown) => Promise<void>} react.onRefused waits for what makes another try worth it
     * @returns {Promise<JSONObject | null>} the whole transcript; null: it was over before
     */
    async finish({ isOver, onRefused }) {
        while (!isOver()) {
            try {
                const { status, document } = await this.request('DELETE', '', { seconds: FINISH_SECONDS });
                if (document.segments && status === 200) return isOver() ? null : document;
                await new Signal().wait(delaySeconds(1)); // 202: it still recognises
            } catch (error) {
                await onRefused(error);
            }
        }
        return null;
    }

    /**
     * Ask once for something of the session. Raises `STTError`.
     * @param {string} method @param {string} [below] its path @param {import('./stt-wire.js').RequestOptions} [options]
     */
    request(method, below = '', options = {}) {
        return this.#client.request(method, this.#path + below, { token: this.#token, ...options });
    }
}
