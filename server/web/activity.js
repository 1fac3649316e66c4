// What the page does at a time: one recording, or one file. Both speak through one session, and through another one if
// the server loses it.

import { Microphone } from './stt-client.js';

const TOLD = ['token', 'final', 'speech_start', 'speech_end', 'error', 'connection', 'progress', 'failed'];
const PROGRESS_SECONDS = 0.5;

/**
 * Events: those of the session in `TOLD`, `phase` (`starting`, `running`, `finishing`, `over`), `began` (`detail`: the
 * session and the `base` in seconds at which its audio begins), and of a recording `level` and `unplugged`.
 */
class Activity extends EventTarget {
    /** @param {import('./stt-client.js').STTClient} client @param {object} config */
    constructor(client, config) {
        super();
        this.client = client;
        this.config = config;
        this.session = null;
        this.phase = 'starting';
    }

    async begin(base) {
        const session = await this.client.createSession(this.config);
        this.session = session;
        this.base = base;
        this.tell('began', { session, base });
        for (const type of TOLD) {
            session.addEventListener(type, ({ detail }) => session === this.session && this.tell(type, detail));
        }
    }

    enter(phase) {
        this.phase = phase;
        this.tell('phase', phase);
    }

    tell(type, detail) {
        this.dispatchEvent(new CustomEvent(type, { detail }));
    }

    /** Have the server forget it. */
    cancel() {
        this.isCancelled = true;
        this.session?.purge().catch(() => {}); // then it forgets by itself
        this.enter('over');
    }
}

export class Recording extends Activity {
    #microphone = null;
    #early = [];
    #bytes = 0;

    /** @param {number} start in seconds on the clock of the page */
    constructor(client, config, start) {
        super(client, { ...config, ...Microphone.FORMAT });
        this.start = start;
    }

    /** Seconds on the clock of the page. */
    get elapsed() {
        return this.start + this.#bytes / 32_000;
    }

    /** Raises `STTError`: nothing has begun then. */
    async open() {
        this.#microphone = await Microphone.open();
        this.#microphone.addEventListener('pcm', ({ detail }) => this.#take(detail));
        this.#microphone.addEventListener('level', ({ detail }) => this.tell('level', detail));
        this.#microphone.addEventListener('ended', () => this.tell('unplugged'));
        try {
            await this.begin(this.start);
        } catch (error) {
            await this.#microphone.close();
            throw error;
        }
        this.#early.splice(0).forEach((pcm) => this.session.send(pcm));
        this.enter('running');
    }

    #take(pcm) {
        this.#bytes += pcm.length;
        if (this.session === null) this.#early.push(pcm);
        else if (this.phase !== 'over') this.#send(pcm);
    }

    #send(pcm) {
        try {
            this.session.send(pcm);
        } catch (error) {
            this.#bytes -= pcm.length;
            this.tell('refused', error);
        }
    }

    /** End the recording. After a failure `goOn` is left to do. */
    async stop() {
        if (this.phase !== 'running') return;
        this.enter('finishing');
        await this.#microphone.close();
        await this.#finish();
    }

    /** Another session takes over, from what the failed one had not recognised. Raises what `createSession` does. */
    async goOn() {
        const failed = this.session;
        await this.begin(this.base + failed.unrecognized().seconds);
        this.session.send(failed.unrecognized().audio); // more has come while the new one was opened
        if (this.phase !== 'running') await this.#finish();
    }

    async #finish() {
        if (this.phase !== 'finishing') this.enter('finishing');
        await this.session.finish().catch(() => {}); // `failed` has told it
        this.enter('over');
    }
}

export class FileUpload extends Activity {
    /** @param {File} file */
    constructor(client, config, file) {
        super(client, config);
        this.file = file;
        this.fraction = 0;
        this.duration = null;
    }

    /** Seconds of it that are recognised. */
    get elapsed() {
        return this.fraction * (this.duration ?? 0);
    }

    /** Raises `STTError`, and `NotReadableError` for a file that is gone. */
    async open() {
        this.duration = await duration(this.file);
        await this.begin(0);
        this.enter('running');
        const asking = setInterval(() => this.#ask(), PROGRESS_SECONDS * 1000);
        try {
            await this.session.sendBlob(this.file);
            this.duration = (await this.session.finish()).duration;
            this.fraction = 1;
            this.tell('progress');
        } finally {
            clearInterval(asking);
        }
        this.enter('over');
    }

    /** How much of it is recognised; of a file whose length the browser can't tell, how much is sent. */
    async #ask() {
        const sent = this.session.confirmedBytes / this.file.size;
        const state = this.duration ? await this.session.state().catch(() => null) : null;
        const fraction = this.duration ? (state?.recognized_seconds ?? 0) / this.duration : sent;
        this.fraction = Math.min(1, Math.max(this.fraction, fraction));
        this.tell('progress');
    }
}

/** Seconds that a file lasts, if the browser knows its format. @param {File} file @returns {Promise<number | null>} */
function duration(file) {
    const player = new Audio();
    player.preload = 'metadata';
    return new Promise((resolve) => {
        player.onloadedmetadata = () => resolve(Number.isFinite(player.duration) ? player.duration : null);
        player.onerror = () => resolve(null);
        player.src = URL.createObjectURL(file);
    }).finally(() => URL.revokeObjectURL(player.src));
}
