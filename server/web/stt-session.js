import { FlushMarks } from './flush-marks.js';
import { KeptAudio } from './kept-audio.js';
import { indexFirst } from './mp4-index.js';
import { Reach } from './reach.js';
import { Reopening } from './reopening.js';
import { Results } from './results.js';
import { Retry } from './retry.js';
import { ServerSession } from './server-session.js';
import { actionOnEnd } from './stt-codes.js';
import { closed, Emitter, Signal, STTError } from './stt-wire.js';
import { formatted } from './transcript-formats.js';

const LAST_EVENTS_SECONDS = 5;

/** @typedef {import('./stt-wire.js').JSONObject} JSONObject */
/** @typedef {import('./stt-events.js').Transcript} Transcript */

/**
 * One session of the caller. When the server loses its session, a new one of the server takes over with the audio that
 * is still held: times go on, each final comes once, and `reopened` tells it.
 *
 * Events: those of the wire with its `data` as `detail` (`token`, `final`, `speech_start`, `speech_end`, `error`,
 * `heartbeat`, `session_end`), and its own: `progress` (audio was taken or confirmed), `connection` (`detail.online`:
 * whether the server can be reached), `waiting` and `reopened`, `failed` (`detail` is an `STTError`: nothing goes up any
 * more; `resume` tries again, `unrecognized` has the audio that is owed).
 * @extends {Emitter<import('./stt-events.js').SessionEvents>}
 */
export class STTSession extends Emitter {
    #client;
    #audio;
    #results;
    #marks = new FlushMarks();
    #retry = new Retry();
    /** The one that there is now. @type {ServerSession} */
    #current;
    #reopening;
    /** Why the server's session is no more. @type {string | null} */
    #lost = null;
    #isEndTold = false;
    /** @type {Transcript | null} */
    #transcript = null;
    #reach = new Reach((online) => this.tell('connection', { online }));
    #work = new Signal();
    #tryAgain = new Signal();
    #stored = new Signal();
    #endTold = new Signal();
    #stopped = new AbortController();
    #onOnline = () => this.#hurry();

    /**
     * Use `STTClient.createSession` or `STTClient.session`.
     * @param {import('./stt-client.js').STTClient} client
     * @param {JSONObject} document what the server says of its session
     * @param {number} [after] the id of the last event that is known
     */
    constructor(client, document, after = 0) {
        super();
        /** The whole configuration. @type {import('./stt-events.js').SessionConfig} */
        this.config = document.config ?? {};
        /** @type {'open' | 'finishing' | 'ended' | 'failed' | 'closed'} `finishing`: no more audio is taken */
        this.status = 'open';
        /** What made it fail. @type {STTError | null} */
        this.failure = null;
        this.#client = client;
        this.#audio = new KeptAudio(document.offset ?? 0, this.config, client.options.bufferBytes);
        this.#results = new Results(after === 0);
        this.#reopening = new Reopening(client, (waiting) => this.tell('waiting', waiting));
        this.#current = this.#serverSession(document, 0, after);
        this.#start();
    }

    /** Of the server's session; another one after `reopened`. */
    get id() {
        return this.#current.id;
    }

    /** The engine that recognises now. */
    get engine() {
        return this.#current.engine;
    }

    /** Bytes taken by `send` that the server has not confirmed. */
    get waitingBytes() {
        return this.#audio.end - this.#audio.confirmed;
    }

    /** The same in seconds, of raw samples; 0 where `encoding` is `auto`. */
    get waitingSeconds() {
        return this.#audio.seconds(this.waitingBytes);
    }

    /** Bytes that the server has stored. Less than before after a `reopened`. */
    get confirmedBytes() {
        return this.#audio.confirmed;
    }

    /** Whether the server can be reached, and knows the session. */
    get online() {
        return this.#reach.online;
    }

    /**
     * Take audio for the upload; it is kept until finals account for it. Raises `buffer_full` (nothing was taken) and
     * `closed`. What comes after a failure is still kept, for `resume` and `unrecognized`.
     * @param {ArrayBuffer | ArrayBufferView} audio
     */
    send(audio) {
        if (this.status !== 'open' && this.status !== 'failed') throw closed();
        if (this.waitingBytes + audio.byteLength > this.#client.options.bufferBytes) {
            throw new STTError('buffer_full', 'Too much audio waits for the server.');
        }
        this.#audio.append(audio);
        this.#work.fire();
        this.tell('progress', undefined);
    }

    /** Send a file as it is, at the pace of the server. Raises what made the session fail. @param {Blob} file */
    async sendBlob(file) {
        const { chunkBytes } = this.#client.options;
        const blob = await indexFirst(file);
        for (let at = 0; at < blob.size; at += chunkBytes) {
            await this.#untilWaiting(chunkBytes);
            this.send(await blob.slice(at, at + chunkBytes).arrayBuffer());
        }
    }

    /** Wait until the server has stored everything that was sent so far. Raises what made the session fail. */
    stored() {
        return this.#untilWaiting(0);
    }

    /**
     * Ask for the final of what was sent so far, now; the session goes on. Raises what made the session fail.
     * @returns {Promise<string | null>} the text of that final; null where nothing was said since the one before
     */
    flush() {
        if (this.failure) return Promise.reject(this.failure);
        if (!this.#goesOn()) return Promise.reject(closed());
        const answer = this.#marks.add(this.#audio.end);
        this.#work.fire();
        return answer;
    }

    /**
     * Send what is left, let the server recognise it, and return the whole transcript. Every `final` has been dispatched
     * when it returns. Raises what made the session fail.
     * @returns {Promise<Transcript>}
     */
    async finish() {
        if (this.status === 'open') this.status = 'finishing';
        this.#work.fire();
        while (!this.#transcript) {
            await this.#untilWaiting(0);
            const seconds = this.#audio.seconds(this.#audio.end);
            this.#transcript = this.#lost
                ? this.#results.last(this.id, this.#lost, seconds)
                : await this.#finishOnServer();
        }
        this.#stop('ended');
        return this.#transcript;
    }

    /**
     * Try again after `failed`: with the same session of the server where it may still be there, else with a new one and
     * the audio that is owed. `connection`, `reopened` or another `failed` tells what comes of it.
     */
    resume() {
        if (this.status !== 'failed' || !this.failure) return;
        const isThere = this.failure.retryable && !this.#lost;
        if (!isThere) this.#lost ??= this.failure.document.reason ?? this.failure.code;
        this.status = 'open';
        this.failure = null;
        this.#reopening.reset();
        this.#stopped = new AbortController();
        this.#start();
    }

    /**
     * What is final so far: an object for `json`, else text.
     * @template {'json' | 'text' | 'srt' | 'vtt'} [Format='json']
     * @param {Format} [format]
     * @returns {Promise<Format extends 'json' ? Transcript : string>}
     */
    async transcript(format) {
        const wanted = format ?? 'json';
        // of a session before this one the server knows nothing
        const asked = this.#results.isPatched ? 'json' : wanted;
        const { document, text } = await this.#current.request('GET', `/transcript?format=${asked}`);
        const found = asked === 'json' ? formatted(this.#results.whole(document), wanted) : text;
        return /** @type {any} */ (found);
    }

    /** Where the server stands: `status`, `offset`, `recognized_seconds`, … @returns {Promise<JSONObject>} */
    async state() {
        return this.#results.state(await this.#current.state());
    }

    /** Have the server erase everything about the session. */
    async purge() {
        this.close();
        await this.#current.request('DELETE', '?purge=true');
    }

    /** Leave the session as it is on the server. No event comes any more, no audio goes. Idempotent. */
    close() {
        this.#stop('closed');
    }

    /**
     * The audio that is not in any final: of raw samples all since the newest final (what a dead server had taken is not
     * lost), otherwise what was not confirmed.
     * @returns {{seconds: number, audio: Uint8Array}} `seconds`: where on this session's audio clock it begins
     */
    unrecognized() {
        return this.#audio.unaccounted();
    }

    #start() {
        globalThis.addEventListener?.('online', this.#onOnline);
        if (!this.#lost) this.#listen();
        this.#run();
    }

    /** The one owner of the way up: it sends, and it opens a new session where one is lost. */
    async #run() {
        this.#retry.reset();
        const { signal } = this.#stopped;
        while (!signal.aborted) {
            try {
                if (this.#lost && this.#isOwed()) await this.#reopen(signal);
                else if (this.#lost || !this.#current.upload.hasWork) await this.#work.wait();
                else await this.#step();
            } catch (error) {
                if (!signal.aborted) this.#fail(error);
            }
        }
    }

    async #step() {
        try {
            await this.#current.upload.step();
            this.#reached('upload', true);
        } catch (error) {
            await this.#recover(error, this.#retry);
        }
    }

    /** Wait for what makes another try worth it. Raises where nothing can. @param {unknown} error @param {Retry} retry */
    async #recover(error, retry) {
        if (!(error instanceof STTError)) throw error;
        if (this.status === 'closed') throw closed();
        if (this.#lost || this.failure) return;
        this.#reached('upload', error.code !== 'server_away');
        if (error.code === 'session_ended') return this.#learnWhy(error);
        if (error.action === 'reopen') return this.#lose(error.code);
        await this.#tryAgain.wait(retry.delay(error, this.#client.options.holdSeconds));
    }

    /** An end has its reason, and perhaps finals before it, on their way. @param {STTError} error */
    async #learnWhy(error) {
        if (!this.#isEndTold) await this.#endTold.wait(LAST_EVENTS_SECONDS);
        if (this.#isEndTold || !this.#goesOn()) return;
        try {
            this.#onEnd((await this.state()).reason);
        } catch (unknown) {
            if (!(unknown instanceof STTError) || unknown.action !== 'reopen') throw error;
            this.#lose(unknown.code);
        }
    }

    #isOwed() {
        return this.#audio.isOwed || this.waitingBytes > 0;
    }

    /** @param {number} bytes */
    async #untilWaiting(bytes) {
        while (this.waitingBytes > bytes || (this.#lost && this.#isOwed()) || this.failure) {
            if (this.failure) throw this.failure;
            if (!this.#goesOn()) throw closed();
            await this.#stored.wait();
        }
    }

    /** @returns {Promise<Transcript | null>} null: the server has lost the session */
    async #finishOnServer() {
        const document = await this.#askForEnd();
        if (this.status === 'closed') throw closed();
        if (!this.#isEndTold && !this.#lost && document) await this.#endTold.wait(LAST_EVENTS_SECONDS);
        if (this.failure) throw this.failure;
        if (!document || this.#lost) return null;
        for (const segment of this.#results.untold(document)) this.#take('final', segment);
        if (!this.#isEndTold) this.#onEnd(document.reason ?? 'finished');
        if (this.failure) throw this.failure;
        return this.#lost ? null : this.#results.whole(document);
    }

    /** @returns {Promise<JSONObject | null>} null: the server has lost the session */
    async #askForEnd() {
        const retry = new Retry();
        const current = this.#current;
        const isGone = () => this.#lost !== null || this.#current !== current;
        try {
            return await current.finish({
                isOver: () => isGone() || this.status === 'failed' || this.status === 'closed',
                onRefused: async (error) => {
                    if (!isGone()) await this.#recover(error, retry);
                },
            });
        } catch (error) {
            this.#fail(error);
            throw error;
        }
    }

    #listen() {
        this.#isEndTold = false;
        this.#current.listen();
    }

    /** @param {string} type @param {JSONObject} said */
    #take(type, said) {
        const detail = this.#results.moved(said);
        this.#current.engine = detail.engine ?? this.engine;
        if (type === 'session_end') return this.#onEnd(detail.reason);
        const isNew = this.#results.take(type, detail);
        if (type === 'final' && isNew) this.#reopening.reset();
        // the segments of a transcript may have no `through`
        if (type === 'final' || 'through' in detail) this.#audio.account(detail.through ?? detail.end);
        if ('flushed' in detail) this.#marks.answer(detail.flushed, type === 'final' ? detail.text : null);
        if (isNew) this.tell(/** @type {any} */ (type), /** @type {any} */ (detail));
    }

    /** @param {string} reason */
    #onEnd(reason) {
        const action = actionOnEnd(reason);
        const isWanted = this.status === 'finishing' && !this.waitingBytes && action === 'done';
        this.#isEndTold = true;
        if (action === 'reopen') this.#lose(reason);
        if (isWanted) this.#stop('ended');
        this.#endTold.fire();
        this.tell('session_end', { reason });
        if (isWanted || action === 'reopen') return;
        this.#fail(new STTError('session_ended', `The session has ended: ${reason}.`, { document: { reason } }));
    }

    /** The server's session is no more. @param {string} reason */
    #lose(reason) {
        if (this.#lost || !this.#goesOn()) return;
        this.#lost = reason;
        // then it was recognised to its end
        if (reason === 'idle_timeout' || reason === 'max_duration') this.#audio.accountConfirmed();
        this.#current.close();
        for (const signal of [this.#work, this.#stored, this.#tryAgain]) signal.fire();
    }

    /** Go on in a new one, with the audio that no final accounts for. @param {AbortSignal} signal */
    async #reopen(signal) {
        const reason = this.#lost ?? '';
        this.#reached('session', false);
        const document = await this.#reopening.open(this.config, this.#audio, reason, signal);
        const previous = this.id;
        const base = this.#audio.rewind();
        this.#lost = null;
        const fromSeconds = this.#audio.seconds(base);
        this.#results.goOn({ seconds: fromSeconds, bytes: base }, this.#audio.through);
        this.#marks.askAgain(base);
        this.#current = this.#serverSession(document, base, 0);
        this.#listen();
        this.#retry.reset();
        for (const way of /** @type {const} */ (['session', 'stream', 'upload'])) this.#reached(way, true);
        this.tell('reopened', { sessionId: this.id, previous, reason, fromSeconds });
    }

    /** @param {JSONObject} document @param {number} base offset of its first byte @param {number} after */
    #serverSession(document, base, after) {
        return new ServerSession(this.#client, document, { kept: this.#audio, marks: this.#marks, base }, after, {
            onEvent: (type, detail) => this.#take(type, detail),
            onReached: (reached) => this.#reached('stream', reached),
            onFailed: (error) => {
                if (error instanceof STTError && error.action === 'reopen') this.#lose(error.code);
                else this.#fail(error);
            },
            onConfirmed: () => {
                this.#retry.reset();
                this.#reached('upload', true);
                this.#stored.fire();
                this.tell('progress', undefined);
            },
        });
    }

    #goesOn() {
        return this.status === 'open' || this.status === 'finishing';
    }

    /** @param {'upload' | 'stream' | 'session'} way @param {boolean} reached */
    #reached(way, reached) {
        const isBack = this.#reach.note(way, reached);
        if (isBack && way === 'stream') this.#hurry();
    }

    /** The network is back: what is being waited for is not worth it. */
    #hurry() {
        this.#retry.reset();
        if (this.#reach.isAway('upload')) this.#current.upload.abort();
        this.#current.hurry();
        this.#reopening.hurry();
        this.#tryAgain.fire();
    }

    /** @param {unknown} error */
    #fail(error) {
        if (!this.#goesOn()) return;
        const failure = error instanceof STTError ? error : new STTError('session_lost', `${error}`, { cause: error });
        this.failure = failure;
        this.#stop('failed');
        this.tell('failed', failure);
    }

    /** @param {'ended' | 'failed' | 'closed'} status */
    #stop(status) {
        this.status = status;
        this.#stopped.abort();
        this.#current.close();
        globalThis.removeEventListener?.('online', this.#onOnline);
        this.#marks.end(status === 'ended' ? null : (this.failure ?? closed()));
        for (const signal of [this.#work, this.#tryAgain, this.#stored, this.#endTold]) signal.fire();
    }
}
