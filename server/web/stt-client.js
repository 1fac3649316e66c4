/**
 * Real-time speech-to-text over plain HTTP, for web pages and Node. No dependency; pcm-worklet.js lies beside it.
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

const FIRST_DELAY_SECONDS = 0.2;
const LONGEST_DELAY_SECONDS = 5;
const REQUEST_SECONDS = 40; // longer than a server waits for room before it answers 429
const FINISH_SECONDS = 90; // longer than a server waits for the last finals
const LAST_EVENTS_SECONDS = 5;
const REPLAY_SECONDS = 60; // an utterance and its recognition take less
const CLOSED = 2; // EventSource's

/**
 * Everything that goes wrong. `code` is one of the server's, or
 * `server_away` (no usable answer), `session_lost` (the server does not know the session, or has other audio of it),
 * `buffer_full` (more audio waits than may), `closed` (after `finish` or `close`), and the microphone's
 * `insecure_origin`, `permission_denied`, `no_microphone`, `microphone_busy`.
 */
export class STTError extends Error {
    /** @param {string} code @param {string} detail */
    constructor(code, detail, { status = 0, retryAfter = 0, document = {}, retryable = false, cause } = {}) {
        super(detail, { cause });
        this.name = 'STTError';
        this.code = code;
        this.status = status;
        /** Seconds that the server asks to wait. */
        this.retryAfter = retryAfter;
        /** The whole problem document. */
        this.document = document;
        /** Whether another try of the same request can help. */
        this.retryable = retryable;
    }
}

/** One server. */
export class STTClient {
    #fetch;
    #base;
    #key;

    /**
     * @param {string | URL} baseUrl
     * @param {object} [options]
     * @param {string} [options.apiKey] sent as a bearer token
     * @param {number} [options.stallSeconds] an event stream that is silent for so long (heartbeats come each second) is
     *     opened anew
     * @param {number} [options.bufferBytes] unconfirmed audio that a session keeps; the default is ten minutes
     * @param {number} [options.chunkBytes] of one POST
     * @param {typeof fetch} [options.fetch] @param {typeof EventSource} [options.EventSource] where there is no other
     */
    constructor(baseUrl = globalThis.location?.origin, options = {}) {
        this.#base = new URL(`${baseUrl}`.replace(/\/?$/, '/'));
        this.#key = options.apiKey;
        this.#fetch = options.fetch ?? ((...request) => globalThis.fetch(...request));
        this.options = {
            stallSeconds: 10,
            bufferBytes: 10 * 60 * 32_000,
            chunkBytes: 65_536,
            EventSource: globalThis.EventSource,
            ...options,
        };
    }

    /** What the server can do, and its limits. @returns {Promise<object>} */
    async info() {
        return (await this.request('GET', 'info')).document;
    }

    /**
     * Open a session. Tries for `giveUpSeconds` to reach the server; a refusal (`too_many_sessions`, `draining`, …) is
     * raised at once.
     * @param {object} [config] the fields of the server's `SessionConfig`
     * @returns {Promise<STTSession>}
     */
    async createSession(config = {}, { giveUpSeconds = 5 } = {}) {
        const headers = { 'Content-Type': 'application/json' };
        const deadline = Date.now() + giveUpSeconds * 1000;
        for (let failures = 1; ; failures++) {
            try {
                const answer = await this.request('POST', 'sessions', { headers, body: JSON.stringify({ config }) });
                return new STTSession(this, answer.document);
            } catch (error) {
                const wait = delaySeconds(failures, error.retryAfter);
                if (error.code !== 'server_away' || Date.now() + wait * 1000 > deadline) throw error;
                await new Promise((resume) => setTimeout(resume, wait * 1000));
            }
        }
    }

    /**
     * Take up a session that exists: `send` goes on at the first byte that the server lacks, events come from `after`.
     * @param {string} sessionId @param {number} [after] @returns {Promise<STTSession>}
     */
    async session(sessionId, after = 0) {
        const { document } = await this.request('GET', `sessions/${encodeURIComponent(sessionId)}`);
        return new STTSession(this, document, after);
    }

    /** @param {string} path relative to the server's address; a path from the server may begin with a slash */
    url(path) {
        return new URL(path.replace(/^\//, ''), this.#base);
    }

    /** Ask once. Raises `STTError`. @returns {Promise<{status: number, text: string, document: object}>} */
    async request(method, path, { headers = {}, body, signal, seconds = REQUEST_SECONDS, token } = {}) {
        const key = this.#key ?? token;
        const signals = [AbortSignal.timeout(seconds * 1000), ...(signal ? [signal] : [])];
        let answer, text;
        try {
            answer = await this.#fetch(this.url(path), {
                method,
                headers: { ...headers, ...(key && { Authorization: `Bearer ${key}` }) },
                body,
                cache: 'no-store',
                signal: any(signals),
            });
            text = await answer.text();
        } catch (cause) {
            throw new STTError('server_away', 'The server does not answer.', { retryable: true, cause });
        }
        const type = answer.headers.get('Content-Type') ?? '';
        const document = type.includes('json') ? parsed(text) : {};
        if (!answer.ok) throw refusal(answer, document);
        return { status: answer.status, text, document };
    }
}

/**
 * One session. Its events are the wire's: `token`, `final`, `speech_start`, `speech_end`, `error`, `session_end`,
 * `heartbeat`, with the wire's `data` as `detail`; and its own:
 * `progress` (audio was taken or confirmed), `connection` (`detail.online`: whether the server can be reached),
 * `failed` (`detail` is an `STTError`: the session takes no more audio, and `unrecognized` has what it lacks).
 */
export class STTSession extends EventTarget {
    #client;
    #path;
    #token;
    #streamUrl;
    #audio;
    #bytesPerSecond;
    #lastEventId;
    #source = null;
    #lastFrame = 0;
    #watchdog;
    #inFlight = null;
    #away = new Set();
    #moreAudio = new Signal();
    #tryAgain = new Signal();
    #confirmed = new Signal();
    #ending = new Signal();
    #finishing = false;
    #closed = false;
    #onOnline = () => this.#hurry();

    /** Use `STTClient.createSession` or `STTClient.session`. */
    constructor(client, document, after = 0) {
        super();
        this.id = document.session_id;
        /** The engine that recognises now. */
        this.engine = document.engine;
        this.config = document.config;
        /** Why it ended, as in `session_end`; null while it goes on. @type {string | null} */
        this.reason = null;
        /** Why it failed. @type {STTError | null} */
        this.failure = null;
        this.#client = client;
        this.#path = `sessions/${encodeURIComponent(this.id)}`;
        this.#token = document.session_token;
        this.#streamUrl = document.stream_url ?? `${this.#path}/stream`;
        this.#audio = new KeptAudio(document.offset ?? 0);
        this.#bytesPerSecond = bytesPerSecond(this.config);
        this.#lastEventId = after;
        this.#listen();
        this.#watchdog = setInterval(() => this.#watch(), 1000);
        globalThis.addEventListener?.('online', this.#onOnline);
        this.#upload();
    }

    /** Bytes taken by `send` that the server has not confirmed. */
    get waitingBytes() {
        return this.#audio.end - this.#audio.confirmed;
    }

    /** The same in seconds; only of raw samples (`encoding` is not `auto`), else 0. */
    get waitingSeconds() {
        return this.#bytesPerSecond ? this.waitingBytes / this.#bytesPerSecond : 0;
    }

    /** Bytes that the server has stored for certain. */
    get confirmedBytes() {
        return this.#audio.confirmed;
    }

    get online() {
        return this.#away.size === 0;
    }

    /**
     * Take audio for the upload; it is sent in order until it is confirmed. Raises `buffer_full` (nothing was taken),
     * `closed`. After a failure it is still kept, for `unrecognized`.
     * @param {ArrayBuffer | Uint8Array} bytes
     */
    send(bytes) {
        if (this.#finishing || (this.#closed && !this.failure)) throw new STTError('closed', 'The session is finished.');
        if (this.waitingBytes + bytes.byteLength > this.#client.options.bufferBytes) {
            throw new STTError('buffer_full', 'Too much audio waits for the server.');
        }
        this.#audio.append(bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes));
        this.#moreAudio.fire();
        this.#tell('progress');
    }

    /** Send a file as it is, at the pace of the server. @param {Blob} blob */
    async sendBlob(blob, sliceBytes = this.#client.options.chunkBytes) {
        for (let at = 0; at < blob.size; at += sliceBytes) {
            this.send(await blob.slice(at, at + sliceBytes).arrayBuffer());
            await this.#until(() => this.waitingBytes <= sliceBytes);
        }
    }

    /** Wait until everything sent so far is confirmed. Raises what made the session fail. */
    async flush() {
        await this.#until(() => this.waitingBytes === 0);
    }

    /**
     * Send what is left, let the server recognise it, and return the whole transcript. Waits for the server for as long
     * as it takes. Every `final` has been dispatched when it returns.
     * @returns {Promise<object>} `text`, `segments`, `duration`, …
     */
    async finish() {
        this.#finishing = true;
        await this.flush();
        const { document } = await this.#insist('DELETE', this.#path, { seconds: FINISH_SECONDS });
        if (!this.#closed) await this.#ending.wait(LAST_EVENTS_SECONDS);
        this.close();
        return document;
    }

    /** What is final so far: an object for `json`, else text. @param {'json' | 'text' | 'srt' | 'vtt'} format */
    async transcript(format = 'json') {
        const answer = await this.#request('GET', `${this.#path}/transcript?format=${format}`);
        return format === 'json' ? answer.document : answer.text;
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

    /** Leave the session as it is on the server: no more events, no more audio. Idempotent. */
    close() {
        this.#closed = true;
        this.#source?.close();
        clearInterval(this.#watchdog);
        globalThis.removeEventListener?.('online', this.#onOnline);
        this.#inFlight?.abort();
        for (const signal of [this.#moreAudio, this.#tryAgain, this.#confirmed, this.#ending]) signal.fire();
    }

    /**
     * The audio that no final accounts for, to be sent to another session after this one failed: of raw samples all
     * since the newest final (so that what a dead server had taken is not lost), else what was not confirmed.
     * @returns {{seconds: number, bytes: Uint8Array}} `seconds`: where on this session's audio clock it begins
     */
    unrecognized() {
        const begin = Math.max(this.#audio.begin, this.#audio.accounted);
        const seconds = this.#bytesPerSecond ? begin / this.#bytesPerSecond : 0;
        return { seconds, bytes: this.#audio.read(begin, this.#audio.end - begin) };
    }

    // --- upload ---

    async #upload() {
        let failures = 0;
        while (!this.#closed) {
            if (!this.waitingBytes) {
                await this.#moreAudio.wait();
                continue;
            }
            const error = await this.#sendChunk();
            if (this.#closed) return;
            if (error && !error.retryable) {
                this.#audioRefused(error);
                return;
            }
            failures = error && error.code !== 'backlog_full' ? failures + 1 : 0;
            this.#reached('upload', error?.code !== 'server_away');
            if (error) await this.#tryAgain.wait(delaySeconds(Math.max(1, failures), error.retryAfter));
        }
    }

    /** @returns {Promise<STTError | null>} what went wrong */
    async #sendChunk() {
        const from = this.#audio.confirmed;
        const headers = { 'Content-Type': 'application/octet-stream', 'Upload-Offset': `${from}` };
        const body = this.#audio.read(from, this.#client.options.chunkBytes);
        this.#inFlight = new AbortController();
        let error = null;
        let offset;
        try {
            const options = { headers, body, signal: this.#inFlight.signal };
            offset = (await this.#request('POST', `${this.#path}/audio`, options)).document.offset;
        } catch (refused) {
            error = refused;
            offset = refused.document.offset ?? from;
        }
        if (!this.#audio.confirm(offset)) return new STTError('session_lost', 'The server has other audio.');
        if (offset > from) this.#confirmed.fire();
        this.#forget();
        this.#tell('progress');
        return error ?? (offset > from ? null : awayError('The server takes the audio but does not store it.'));
    }

    #audioRefused(error) {
        if (error.code !== 'session_ended') this.#fail(error);
        // else the last finals and `session_end`, which says why, are on their way
    }

    #forget() {
        const { confirmed, accounted } = this.#audio;
        const recent = confirmed - (this.#bytesPerSecond ?? 0) * REPLAY_SECONDS;
        this.#audio.release(this.#bytesPerSecond ? Math.min(confirmed, Math.max(accounted, recent)) : confirmed);
    }

    // --- events ---

    #listen() {
        const url = this.#client.url(this.#streamUrl);
        if (this.#lastEventId) url.searchParams.set('last_event_id', this.#lastEventId);
        const source = new this.#client.options.EventSource(url.href);
        this.#source = source;
        this.#lastFrame = Date.now();
        source.onopen = () => this.#reached('stream', true);
        source.onmessage = (message) => this.#take(message);
        source.onerror = () => {
            if (source !== this.#source || this.#closed) return;
            this.#reached('stream', false);
            if (source.readyState === CLOSED) this.#listenAgain(source);
        };
    }

    #take({ data, lastEventId }) {
        this.#lastFrame = Date.now();
        this.#reached('stream', true);
        const event = parsed(data);
        if (!event.event_type || this.#closed) return;
        if (event.event_type !== 'heartbeat' && lastEventId) {
            if (Number(lastEventId) <= this.#lastEventId) return;
            this.#lastEventId = Number(lastEventId);
        }
        if (event.data.engine) this.engine = event.data.engine;
        if (event.event_type === 'final' && this.#bytesPerSecond) {
            this.#audio.accounted = Math.floor((event.data.end * this.#bytesPerSecond) / 2) * 2;
            this.#forget();
        }
        if (event.event_type === 'session_end') this.#end(event.data);
        else this.#tell(event.event_type, event.data);
    }

    #end(data) {
        this.reason = data.reason;
        const wanted = this.#finishing && this.waitingBytes === 0;
        if (!wanted) this.failure = new STTError('session_ended', `The session has ended: ${data.reason}.`);
        this.close();
        this.#tell('session_end', data);
        if (!wanted) this.#tell('failed', this.failure);
    }

    #fail(error) {
        if (this.#closed) return;
        this.failure = error;
        this.close();
        this.#tell('failed', error);
    }

    /** The browser has given up on the stream: find out why, and open another one if there is something to come. */
    async #listenAgain(source) {
        for (let failures = 1; !this.#closed && source === this.#source; failures++) {
            try {
                const state = await this.state();
                if (this.#closed || source !== this.#source) return;
                if (state.status === 'ended' && state.last_event_id <= this.#lastEventId) this.#end(state);
                else this.#listen();
                return;
            } catch (error) {
                if (!error.retryable) this.#fail(error);
                else await this.#tryAgain.wait(delaySeconds(failures, error.retryAfter));
            }
        }
    }

    /** No heartbeat: the connection is dead, whatever TCP says. */
    #watch() {
        if (Date.now() - this.#lastFrame < this.#client.options.stallSeconds * 1000) return;
        this.#reached('stream', false);
        this.#source.close();
        this.#inFlight?.abort();
        this.#listen();
    }

    // --- both ---

    #reached(what, reached) {
        const before = this.online;
        if (reached) this.#away.delete(what);
        else this.#away.add(what);
        if (this.online !== before) this.#tell('connection', { online: this.online });
        if (what === 'stream' && reached && this.#away.has('upload')) this.#hurry();
    }

    /** The network is back: what is still being waited for is not worth it. */
    #hurry() {
        if (this.#away.has('upload')) this.#inFlight?.abort();
        this.#tryAgain.fire();
    }

    #request(method, path, options = {}) {
        return this.#client.request(method, path, { token: this.#token, ...options });
    }

    /** Ask until there is a final answer. */
    async #insist(method, path, options) {
        for (let failures = 1; ; failures++) {
            try {
                const answer = await this.#request(method, path, options);
                if (answer.status !== 202) return answer;
            } catch (error) {
                if (!error.retryable || this.#closed) throw error;
                this.#reached('upload', false);
                await this.#tryAgain.wait(delaySeconds(failures, error.retryAfter));
            }
        }
    }

    async #until(condition) {
        while (!condition()) {
            if (this.failure) throw this.failure;
            if (this.#closed) throw new STTError('closed', 'The session was closed.');
            await this.#confirmed.wait();
        }
    }

    #tell(type, detail) {
        this.dispatchEvent(new CustomEvent(type, { detail }));
    }
}

/** Events: `pcm` (`detail` is a `Uint8Array` of PCM16, 150 ms), `level` (`detail`: RMS from 0 to 1), `ended` (unplugged). */
export class Microphone extends EventTarget {
    /** The fields of the configuration that say what a microphone sends. */
    static FORMAT = Object.freeze({ encoding: 'linear16', sample_rate: 16_000, channels: 1 });

    #context;
    #stream;
    #node;
    #onVisible = () => document.hidden || this.#context.resume();

    /**
     * Ask for the microphone. Call it from a click: browsers start no audio otherwise. Raises `STTError`.
     * @param {object} [options]
     * @param {MediaTrackConstraints} [options.constraints] of the browser's own processing, `deviceId`, …
     * @param {string | URL} [options.workletUrl] @returns {Promise<Microphone>}
     */
    static async open({ constraints = {}, workletUrl = new URL('./pcm-worklet.js', import.meta.url) } = {}) {
        if (!globalThis.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
            throw new STTError('insecure_origin', 'A browser gives the microphone to https pages and localhost only.');
        }
        const context = new AudioContext({ latencyHint: 'interactive' });
        let stream;
        try {
            await context.audioWorklet.addModule(workletUrl);
            stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, ...constraints } });
            await context.resume();
        } catch (cause) {
            stream?.getTracks().forEach((track) => track.stop());
            await context.close();
            throw microphoneError(cause);
        }
        return new Microphone(context, stream);
    }

    /** Use `Microphone.open`. */
    constructor(context, stream) {
        super();
        this.#context = context;
        this.#stream = stream;
        this.#node = new AudioWorkletNode(context, 'pcm', {
            processorOptions: { rate: Microphone.FORMAT.sample_rate, blockSamples: 2400, levelSeconds: 0.05 },
        });
        this.#node.port.onmessage = ({ data }) => {
            for (const [type, detail] of Object.entries(data)) this.dispatchEvent(new CustomEvent(type, { detail }));
        };
        // to the speakers, silent: a node that leads nowhere is not run by every browser
        context.createMediaStreamSource(stream).connect(this.#node).connect(context.destination);
        for (const track of stream.getTracks()) track.onended = () => this.dispatchEvent(new CustomEvent('ended'));
        globalThis.document?.addEventListener('visibilitychange', this.#onVisible); // a phone call stops the context
    }

    /** Stop. The last `pcm` has been dispatched when it returns. */
    async close() {
        const done = new Promise((resolve) => this.addEventListener('done', resolve, { once: true }));
        this.#node.port.postMessage('finish');
        await done;
        globalThis.document?.removeEventListener('visibilitychange', this.#onVisible);
        this.#stream.getTracks().forEach((track) => track.stop());
        await this.#context.close();
    }
}

/** The bytes of an upload that may still be needed. Offsets count from the session's first byte. */
class KeptAudio {
    #chunks = [];

    constructor(start) {
        /** Offset of the first byte kept, of the first not confirmed, of the first to come. */
        this.begin = this.confirmed = this.end = start;
        /** Finals account for everything before this. */
        this.accounted = 0;
    }

    append(bytes) {
        this.#chunks.push({ from: this.end, bytes });
        this.end += bytes.length;
    }

    /** @returns {Uint8Array} up to `limit` bytes from `from` on */
    read(from, limit) {
        const wanted = new Uint8Array(Math.max(0, Math.min(limit, this.end - from)));
        for (const chunk of this.#chunks) {
            const part = chunk.bytes.subarray(Math.max(0, from - chunk.from), from + wanted.length - chunk.from);
            if (chunk.from < from + wanted.length && part.length) wanted.set(part, Math.max(0, chunk.from - from));
        }
        return wanted;
    }

    /** @returns {boolean} false: this can't be, the server has other audio */
    confirm(offset) {
        if (!Number.isInteger(offset) || offset < this.confirmed || offset > this.end) return false;
        this.confirmed = offset;
        return true;
    }

    /** Forget the chunks that end before `offset`. */
    release(offset) {
        const first = this.#chunks.findIndex(({ from, bytes }) => from + bytes.length > offset);
        this.#chunks.splice(0, first < 0 ? this.#chunks.length : first);
        this.begin = this.#chunks[0]?.from ?? this.end;
    }
}

/** Something to wait for, at most so many seconds. */
class Signal {
    #waiting = new Set();

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

/** Wait after so many failures in a row (from 1), jittered so that clients do not come back in step. */
function delaySeconds(failures, retryAfter = 0) {
    const backoff = Math.min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** Math.min(failures - 1, 30));
    return retryAfter + backoff * (0.5 + Math.random() / 2);
}

/** What a problem document, or whatever a proxy answers in its place, stands for. */
function refusal(answer, document) {
    const { status } = answer;
    const seconds = answer.headers.get('Retry-After') ?? '';
    const retryAfter = /^\d+$/.test(seconds) ? Number(seconds) : 0;
    const code = document.code ?? `http_${status}`;
    const detail = document.detail ?? answer.statusText;
    if (code === 'session_not_found') return new STTError('session_lost', detail, { status, document });
    if (status >= 500 && code !== 'draining') return awayError(`${detail} (${status})`, { status, retryAfter, document });
    const retryable = [408, 429, 503].includes(status) || code === 'offset_mismatch';
    return new STTError(code, detail, { status, retryAfter, document, retryable });
}

function awayError(detail, more = {}) {
    return new STTError('server_away', detail, { retryable: true, ...more });
}

function microphoneError(cause) {
    const codes = {
        NotAllowedError: 'permission_denied',
        SecurityError: 'permission_denied',
        NotFoundError: 'no_microphone',
        OverconstrainedError: 'no_microphone',
    };
    return new STTError(codes[cause.name] ?? 'microphone_busy', cause.message, { cause });
}

function bytesPerSecond({ encoding, sample_rate, channels }) {
    const width = { linear16: 2, mulaw: 1, alaw: 1 }[encoding];
    return width ? width * sample_rate * channels : null;
}

function parsed(text) {
    try {
        return JSON.parse(text) ?? {};
    } catch {
        return {};
    }
}

/** AbortSignal.any, which is younger than the rest of this. */
function any(signals) {
    const controller = new AbortController();
    for (const signal of signals) {
        if (signal.aborted) controller.abort();
        signal.addEventListener('abort', () => controller.abort(), { once: true });
    }
    return controller.signal;
}
