import { Microphone } from './microphone.js';
import { Emitter, STTError } from './stt-wire.js';

/** @typedef {'starting' | 'running' | 'finishing' | 'over'} Phase */

/**
 * @typedef {object} RecordingEvents
 * @property {import('./stt-session.js').STTSession} session it is open: the time to listen to its events
 * @property {Phase} phase
 * @property {import('./stt-events.js').Waiting} waiting the server has no place yet; what is said meanwhile is kept
 * @property {number} level RMS from 0 to 1
 * @property {undefined} unplugged the microphone is gone
 * @property {STTError} refused the session takes no more audio
 */

/**
 * From the press of a button to the next: the microphone, and a session that its audio goes to.
 * @extends {Emitter<RecordingEvents>}
 */
export class Recording extends Emitter {
    #client;
    #config;
    /** @type {Microphone | null} */
    #microphone = null;
    /** What is said before the session is open. @type {Uint8Array[]} */
    #early = [];
    #takenBytes = 0;
    #isMuting = false;
    #cancelled = new AbortController();
    /** @type {Promise<unknown>} */
    #opened = Promise.resolve();

    /**
     * @param {import('./stt-client.js').STTClient} client
     * @param {Partial<import('./stt-events.js').SessionConfig>} config
     */
    constructor(client, config) {
        super();
        this.#client = client;
        this.#config = { ...config, ...Microphone.FORMAT };
        /** @type {import('./stt-session.js').STTSession | null} */
        this.session = null;
        /** @type {Phase} */
        this.phase = 'starting';
        /** Whether what the microphone hears is left out. */
        this.isMuted = false;
    }

    /** Seconds of audio that were taken. */
    get seconds() {
        const { sample_rate: rate, channels } = Microphone.FORMAT;
        return this.#takenBytes / (2 * rate * channels);
    }

    /** Whether `cancel` was called. */
    get isCancelled() {
        return this.#cancelled.signal.aborted;
    }

    /** Ask for the microphone, then for a session. Call it from a click. Raises `STTError`: it is over then. */
    async open() {
        this.#opened = this.#open();
        try {
            await this.#opened;
        } catch (error) {
            await this.#microphone?.close();
            this.#enter('over');
            throw error;
        }
    }

    async #open() {
        const microphone = await Microphone.open();
        this.#microphone = microphone;
        microphone.addEventListener('pcm', ({ detail }) => this.#take(detail));
        microphone.addEventListener('level', ({ detail }) => this.tell('level', this.isMuted ? 0 : detail));
        microphone.addEventListener('ended', () => this.tell('unplugged', undefined));
        const { signal } = this.#cancelled;
        signal.throwIfAborted();
        const onWaiting = (/** @type {import('./stt-events.js').Waiting} */ waiting) => this.tell('waiting', waiting);
        const session = await this.#client.createSession(this.#config, { signal, onWaiting });
        this.session = session;
        this.tell('session', session);
        for (const pcm of this.#early.splice(0)) this.#send(session, pcm);
        this.#enter('running');
    }

    /** Leave out what is said from now on. What was said before has been sent when it returns. */
    async mute() {
        this.#isMuting = true;
        await this.#microphone?.flush();
        this.isMuted = this.#isMuting;
    }

    /** Take again what is said. */
    unmute() {
        this.#isMuting = this.isMuted = false;
    }

    /** The final of what was said so far, now. @returns {Promise<string | null>} its text; null where nothing was said */
    async flush() {
        await this.#opened;
        if (!this.isMuted) await this.#microphone?.flush();
        return this.session?.flush() ?? null;
    }

    /**
     * Stop, and return the transcript. Raises what made the session fail; after `resume` it can be called again.
     * @returns {Promise<import('./stt-events.js').Transcript>}
     */
    async finish() {
        const { session } = this;
        if (!session) throw new STTError('closed', 'The recording has not begun.');
        this.#enter('finishing');
        await this.#microphone?.close();
        try {
            return await session.finish();
        } finally {
            this.#enter('over');
        }
    }

    /** Stop at once. What the server has recognised stays there. */
    async leave() {
        this.#cancelled.abort();
        this.session?.close();
        if (this.session) this.#enter('over');
        await this.#microphone?.close();
    }

    /** Stop at once, and have the server forget it. */
    async cancel() {
        this.#cancelled.abort();
        const forgotten = this.session?.purge().catch(() => {}); // then it forgets by itself
        if (this.session) this.#enter('over');
        await this.#microphone?.close();
        await forgotten;
    }

    /** @param {Uint8Array} pcm */
    #take(pcm) {
        if (this.isMuted || this.phase === 'over') return;
        this.#takenBytes += pcm.length;
        if (this.session) this.#send(this.session, pcm);
        else this.#early.push(pcm);
    }

    /** @param {import('./stt-session.js').STTSession} session @param {Uint8Array} pcm */
    #send(session, pcm) {
        try {
            session.send(pcm);
        } catch (error) {
            if (!(error instanceof STTError)) throw error;
            this.#takenBytes -= pcm.length;
            this.tell('refused', error);
        }
    }

    /** @param {Phase} phase */
    #enter(phase) {
        if (this.phase === phase) return;
        this.phase = phase;
        this.tell('phase', phase);
    }
}
