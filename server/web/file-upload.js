import { Emitter } from './stt-wire.js';

const PROGRESS_SECONDS = 0.5;

/** @typedef {import('./recording.js').Phase} Phase */

/**
 * One file on its way through a session. Like a `Recording` it tells `session`, `phase` and `waiting`.
 * @extends {Emitter<import('./recording.js').RecordingEvents & {progress: undefined}>}
 */
export class FileUpload extends Emitter {
    #client;
    #config;
    #cancelled = new AbortController();

    /**
     * @param {import('./stt-client.js').STTClient} client
     * @param {Partial<import('./stt-events.js').SessionConfig>} config
     * @param {File} file
     */
    constructor(client, config, file) {
        super();
        this.#client = client;
        this.#config = config;
        this.file = file;
        /** @type {import('./stt-session.js').STTSession | null} */
        this.session = null;
        /** @type {Phase} */
        this.phase = 'starting';
        /** How much of the file is recognised, from 0 to 1. */
        this.fraction = 0;
        /** Seconds that it lasts, where that is known. @type {number | null} */
        this.duration = null;
    }

    /** Seconds of it that are recognised. */
    get seconds() {
        return this.fraction * (this.duration ?? 0);
    }

    /** Whether `cancel` was called. */
    get isCancelled() {
        return this.#cancelled.signal.aborted;
    }

    /** Send it and wait for its text. Raises `STTError`, and `NotReadableError` for a file that is gone. */
    async open() {
        try {
            await this.#transcribe();
        } finally {
            this.#enter('over');
        }
    }

    async #transcribe() {
        this.duration = await duration(this.file);
        const { signal } = this.#cancelled;
        const onWaiting = (/** @type {import('./stt-events.js').Waiting} */ waiting) => this.tell('waiting', waiting);
        const session = await this.#client.createSession(this.#config, { signal, onWaiting });
        this.session = session;
        this.tell('session', session);
        this.#enter('running');
        const asking = setInterval(() => this.#ask(session), PROGRESS_SECONDS * 1000);
        try {
            await session.sendBlob(this.file);
            this.duration = (await session.finish()).duration;
            this.fraction = 1;
            this.tell('progress', undefined);
        } finally {
            clearInterval(asking);
        }
    }

    /** Stop at once, and have the server forget it. */
    async cancel() {
        this.#cancelled.abort();
        await this.session?.purge().catch(() => {}); // then it forgets by itself
    }

    /** Of a file whose length the browser can't tell, what is sent counts. @param {import('./stt-session.js').STTSession} session */
    async #ask(session) {
        const state = this.duration ? await session.state().catch(() => null) : null;
        const sent = session.confirmedBytes / this.file.size;
        const fraction = this.duration ? (state?.recognized_seconds ?? 0) / this.duration : sent;
        this.fraction = Math.min(1, Math.max(this.fraction, fraction));
        this.tell('progress', undefined);
    }

    /** @param {Phase} phase */
    #enter(phase) {
        this.phase = phase;
        this.tell('phase', phase);
    }
}

/** Seconds that a file lasts, if the browser knows its format. @param {File} file @returns {Promise<number | null>} */
function duration(file) {
    const player = new Audio();
    player.preload = 'metadata';
    const known = new Promise((resolve) => {
        player.onloadedmetadata = () => resolve(Number.isFinite(player.duration) ? player.duration : null);
        player.onerror = () => resolve(null);
        player.src = URL.createObjectURL(file);
    });
    return known.finally(() => URL.revokeObjectURL(player.src));
}
