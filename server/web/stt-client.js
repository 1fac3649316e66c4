/**
 * Real-time speech-to-text over plain HTTP, for web pages and Node. It needs nothing but the files beside it:
 * event-stream.js, kept-audio.js, mp4-index.js, stt-wire.js and, for the microphone, microphone.js and pcm-worklet.js.
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
 * Nothing is lost or doubled: audio goes up with offsets and is kept until the server has confirmed it, over any number
 * of cuts; events come down with ids, each once and in order.
 */

import { EventStream } from './event-stream.js';
import { KeptAudio } from './kept-audio.js';
import { indexFirst } from './mp4-index.js';
import { closed, delaySeconds, request, serverAway, Signal, STTError } from './stt-wire.js';

export { Microphone } from './microphone.js';
export { STTError };

const OPEN_SECONDS = 15;
const FINISH_SECONDS = 90; // longer than a server waits for the last finals
const LAST_EVENTS_SECONDS = 5;
const TEN_MINUTES = 10 * 60 * 32_000; // in bytes of a microphone's audio

/** One server. */
export class STTClient {
    #fetch;
    #base;
    #key;

    /**
     * @param {string | URL} baseUrl
     * @param {object} [options]
     * @param {string} [options.apiKey] sent as a bearer token
     * @param {number} [options.stallSeconds] a stream that is silent for so long (heartbeats come each second) is dead
     * @param {number} [options.bufferBytes] unconfirmed audio that a session keeps at most
     * @param {number} [options.chunkBytes] of one POST
     * @param {typeof fetch} [options.fetch]
     * @param {typeof EventSource} [options.EventSource]
     */
    constructor(baseUrl = globalThis.location?.origin, { apiKey, fetch, ...options } = {}) {
        this.#base = new URL(`${baseUrl}`.replace(/\/?$/, '/'));
        this.#key = apiKey;
        this.#fetch = fetch ?? ((...given) => globalThis.fetch(...given));
        const { EventSource } = globalThis;
        this.options = { stallSeconds: 10, bufferBytes: TEN_MINUTES, chunkBytes: 65_536, EventSource, ...options };
    }

    /** What the server can do, and its limits. @returns {Promise<object>} */
    async info() {
        return (await this.request('GET', 'info')).document;
    }

    /**
     * Open a session. Tries for `giveUpSeconds` to reach the server; a refusal (`too_many_sessions`, `draining`,
     * `invalid_request`, …) is raised at once.
     * @param {object} [config] the fields of the server's `SessionConfig`
     * @returns {Promise<STTSession>}
     */
    async createSession(config = {}, { giveUpSeconds = 5 } = {}) {
        const headers = { 'Content-Type': 'application/json' };
        const deadline = Date.now() + giveUpSeconds * 1000;
        for (let failures = 1; ; failures++) {
            try {
                const body = JSON.stringify({ config });
                const { document } = await this.request('POST', 'sessions', { headers, body, seconds: OPEN_SECONDS });
                if (!document.session_id) throw serverAway('Something else answers at this address.');
                return new STTSession(this, document);
            } catch (error) {
                const seconds = delaySeconds(failures, error.retryAfter);
                if (error.code !== 'server_away' || Date.now() + seconds * 1000 > deadline) throw error;
                await new Signal().wait(seconds);
            }
        }
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

    /** @param {string} path below the server's address, also if it begins with a slash @returns {URL} */
    url(path) {
        return new URL(path.replace(/^\//, ''), this.#base);
    }

    /** Ask once. Raises `STTError`. @returns {Promise<{status: number, text: string, document: object}>} */
    request(method, path, { headers = {}, token, ...options } = {}) {
        const key = this.#key ?? token;
        const all = key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
        return request(this.#fetch, this.url(path), { method, headers: all, ...options });
    }
}

/**
 * One session. Its events are the wire's, with the wire's `data` as `detail`: `token`, `final`, `speech_start`,
 * `speech_end`, `error`, `heartbeat`, `session_end`. And its own: `progress` (audio was taken or confirmed),
 * `connection` (`detail.online`: whether the server can be reached), `failed` (`detail` is an `STTError`: the session
 * takes no more audio; `unrecognized` has what it owes).
 */
export class STTSession extends EventTarget {
    #client;
    #path;
    #token;
    #stream;
    #audio;
    #finals;
    #inFlight = null;
    #failures = 0;
    #away = new Set();
    #moreAudio = new Signal();
    #tryAgain = new Signal();
    #confirmed = new Signal();
    #ended = new Signal();
    #onOnline = () => this.#hurry();

    /** Use `STTClient.createSession` or `STTClient.session`. */
    constructor(client, document, after = 0) {
        super();
        this.id = document.session_id;
        /** The engine that recognises now. */
        this.engine = document.engine;
        /** The whole configuration. */
        this.config = document.config;
        /** `open`, `finishing` (no more audio is taken), `ended`, `failed`, `closed` */
        this.status = 'open';
        /** What made it fail. @type {STTError | null} */
        this.failure = null;
        this.#client = client;
        this.#path = `sessions/${encodeURIComponent(this.id)}`;
        this.#token = document.session_token;
        this.#finals = after ? Infinity : 0;
        this.#audio = new KeptAudio(document.offset ?? 0, this.config);
        this.#stream = this.#listen(client.url(document.stream_url ?? `${this.#path}/stream`), after);
        globalThis.addEventListener?.('online', this.#onOnline);
        this.#upload();
    }

    /** Bytes taken by `send` that the server has not confirmed. */
    get waitingBytes() {
        return this.#audio.end - this.#audio.confirmed;
    }

    /** The same in seconds, of raw samples; 0 where `encoding` is `auto`. */
    get waitingSeconds() {
        return this.#audio.seconds(this.waitingBytes);
    }

    /** Bytes that the server has stored for certain. */
    get confirmedBytes() {
        return this.#audio.confirmed;
    }

    /** Whether the server can be reached. */
    get online() {
        return this.#away.size === 0;
    }

    /**
     * Take audio for the upload, in which it is kept until the server has confirmed it. Raises `buffer_full` (nothing
     * was taken) and `closed`. What comes after a failure is still kept, for `unrecognized`.
     * @param {ArrayBuffer | ArrayBufferView} audio
     */
    send(audio) {
        if (this.status !== 'open' && this.status !== 'failed') throw closed();
        if (this.waitingBytes + audio.byteLength > this.#client.options.bufferBytes) {
            throw new STTError('buffer_full', 'Too much audio waits for the server.');
        }
        this.#audio.append(audio);
        this.#moreAudio.fire();
        this.#tell('progress');
    }

    /** Send a file as it is, at the pace of the server. Raises what made the session fail. @param {Blob} file */
    async sendBlob(file) {
        const { chunkBytes } = this.#client.options;
        const blob = await indexFirst(file);
        for (let at = 0; at < blob.size; at += chunkBytes) {
            await this.#waitUntilAtMost(chunkBytes);
            this.send(await blob.slice(at, at + chunkBytes).arrayBuffer());
        }
    }

    /** Wait until everything sent so far is confirmed. Raises what made the session fail. */
    flush() {
        return this.#waitUntilAtMost(0);
    }

    /**
     * Send what is left, let the server recognise it, and return the whole transcript (`text`, `segments`, `duration`).
     * Waits for the server for as long as it takes. Every `final` has been dispatched when it returns.
     * @returns {Promise<object>}
     */
    async finish() {
        if (this.status === 'open') this.status = 'finishing';
        await this.flush();
        const transcript = await this.#finishOnServer();
        if (this.status === 'finishing') await this.#ended.wait(LAST_EVENTS_SECONDS);
        if (this.failure) throw this.failure;
        for (const segment of transcript.segments.slice(this.#finals)) this.#take('final', segment);
        this.#stop('ended');
        return transcript;
    }

    /** What is final so far: an object for `json`, else text. @param {'json' | 'text' | 'srt' | 'vtt'} format */
    async transcript(format = 'json') {
        const { document, text } = await this.#request('GET', `${this.#path}/transcript?format=${format}`);
        return format === 'json' ? document : text;
    }

    /** Where the server stands: `status`, `offset`, `recognized_seconds`, … @returns {Promise<object>} */
    async state() {
        return (await this.#request('GET', this.#path)).document;
    }

    /** Have the server erase everything about the session. */
    async purge() {
        this.close();
        await this.#request('DELETE', `${this.#path}?purge=true`);
    }

    /** Leave the session as it is on the server. No event comes any more, no audio goes. Idempotent. */
    close() {
        this.#stop('closed');
    }

    /**
     * The audio that is not in any final, to be sent to another session after this one failed: of raw samples all since
     * the newest final (what a dead server had taken is not lost), otherwise what was not confirmed.
     * @returns {{seconds: number, audio: Uint8Array}} `seconds`: where on this session's audio clock it begins
     */
    unrecognized() {
        return this.#audio.unaccounted();
    }

    // --- audio up ---------------------------------------------------------------------------------------------------

    async #upload() {
        while (this.#goesOn()) {
            if (!this.waitingBytes) {
                await this.#moreAudio.wait();
                continue;
            }
            const error = await this.#sendChunk();
            if (!this.#goesOn()) return;
            // an end has its reason, and perhaps finals before it, on their way
            if (error?.code === 'session_ended') await this.#ended.wait(LAST_EVENTS_SECONDS);
            if (error && !error.retryable) return this.#fail(error);
            this.#failures = error && error.code !== 'backlog_full' ? this.#failures + 1 : 0;
            this.#reached('upload', error?.code !== 'server_away');
            if (error) await this.#tryAgain.wait(delaySeconds(this.#failures, error.retryAfter));
        }
    }

    /** @returns {Promise<STTError | null>} what went wrong */
    async #sendChunk() {
        const from = this.#audio.confirmed;
        const headers = { 'Content-Type': 'application/octet-stream', 'Upload-Offset': `${from}` };
        const body = this.#audio.read(from, this.#client.options.chunkBytes);
        this.#inFlight = new AbortController();
        const { signal } = this.#inFlight;
        let offset = from;
        let error = null;
        try {
            const { document } = await this.#request('POST', `${this.#path}/audio`, { headers, body, signal });
            offset = document.offset ?? from; // the page where one signs in to a network has none
        } catch (refused) {
            error = refused;
            offset = refused.document.offset ?? from;
        }
        if (!this.#audio.confirm(offset)) return new STTError('session_lost', 'The server has other audio.');
        if (offset > from) {
            this.#failures = 0;
            this.#confirmed.fire();
            this.#tell('progress');
        }
        return error ?? (offset > from ? null : serverAway('The server takes the audio but does not store it.'));
    }

    async #waitUntilAtMost(bytes) {
        while (this.waitingBytes > bytes || this.failure) {
            if (this.failure) throw this.failure;
            if (!this.#goesOn()) throw closed();
            await this.#confirmed.wait();
        }
    }

    async #finishOnServer() {
        for (let failures = 1; ; failures++) {
            let retryAfter = 0;
            try {
                const answer = await this.#request('DELETE', this.#path, { seconds: FINISH_SECONDS });
                this.#reached('upload', true);
                if (answer.document.segments && answer.status === 200) return answer.document;
            } catch (error) {
                if (!error.retryable) {
                    this.#fail(error);
                    throw error;
                }
                this.#reached('upload', error.code !== 'server_away');
                retryAfter = error.retryAfter;
            }
            if (this.status === 'closed') throw closed();
            await this.#tryAgain.wait(delaySeconds(failures, retryAfter));
        }
    }

    // --- events down ------------------------------------------------------------------------------------------------

    #listen(url, after) {
        return new EventStream(url, after, {
            ...this.#client.options,
            describe: () => this.state(),
            onEvent: (type, detail) => this.#take(type, detail),
            onReached: (reached) => this.#reached('stream', reached),
            onStalled: () => this.#inFlight?.abort(),
            onFailed: (error) => this.#fail(error),
        });
    }

    #take(type, detail) {
        this.engine = detail.engine ?? this.engine;
        if (type === 'final') {
            this.#finals++;
            this.#audio.account(detail.end);
        }
        if (type === 'session_end') this.#end(detail);
        else this.#tell(type, detail);
    }

    #end(detail) {
        const wanted = this.status === 'finishing' && !this.waitingBytes && detail.reason === 'finished';
        if (wanted) this.#stop('ended');
        this.#tell('session_end', detail);
        const words = `The session has ended: ${detail.reason}.`;
        if (!wanted) this.#fail(new STTError('session_ended', words, { document: detail }));
    }

    // --- both -------------------------------------------------------------------------------------------------------

    #goesOn() {
        return this.status === 'open' || this.status === 'finishing';
    }

    #reached(what, reached) {
        const before = this.online;
        const back = reached && this.#away.delete(what);
        if (!reached) this.#away.add(what);
        if (this.online !== before) this.#tell('connection', { online: this.online });
        if (back && what === 'stream') this.#hurry();
    }

    /** The network is back: what is being waited for is not worth it. */
    #hurry() {
        this.#failures = 0;
        if (this.#away.has('upload')) this.#inFlight?.abort();
        this.#stream.hurry();
        this.#tryAgain.fire();
    }

    #fail(error) {
        if (!this.#goesOn()) return;
        this.failure = error;
        this.#stop('failed');
        this.#tell('failed', error);
    }

    #stop(status) {
        this.status = status;
        this.#stream.close();
        globalThis.removeEventListener?.('online', this.#onOnline);
        this.#inFlight?.abort();
        for (const signal of [this.#moreAudio, this.#tryAgain, this.#confirmed, this.#ended]) signal.fire();
    }

    #request(method, path, options = {}) {
        return this.#client.request(method, path, { token: this.#token, ...options });
    }

    #tell(type, detail) {
        this.dispatchEvent(new CustomEvent(type, { detail }));
    }
}
