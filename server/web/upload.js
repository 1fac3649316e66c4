import { serverAway, STTError } from './stt-wire.js';

/**
 * The way up to one session of the server: audio, and the marks of flushes at their places in it.
 */
export class Upload {
    #audio;
    #marks;
    #base;
    #options;
    /** @type {AbortController | null} */
    #inFlight = null;

    /**
     * @param {import('./kept-audio.js').KeptAudio} audio
     * @param {import('./flush-marks.js').FlushMarks} marks
     * @param {number} base offset in `audio` of the first byte of the server's session
     * @param {object} options
     * @param {(path: string, request: import('./stt-wire.js').RequestOptions) => Promise<import('./stt-wire.js').Answer>} options.post
     * @param {number} options.chunkBytes
     * @param {() => void} options.onConfirmed
     */
    constructor(audio, marks, base, options) {
        this.#audio = audio;
        this.#marks = marks;
        this.#base = base;
        this.#options = options;
    }

    /** Whether there is something to send, or to ask. */
    get hasWork() {
        return this.#audio.end > this.#audio.confirmed || this.#dueMark !== undefined;
    }

    get #dueMark() {
        const mark = this.#marks.next;
        return mark && mark.offset <= this.#audio.confirmed ? mark : undefined;
    }

    /** Send one chunk, or ask for one flush. Raises `STTError`; also then the server may have taken some of it. */
    async step() {
        const mark = this.#dueMark;
        await (mark ? this.#askFlush(mark) : this.#sendChunk());
    }

    /** Give up the request that is on its way. */
    abort() {
        this.#inFlight?.abort();
    }

    async #sendChunk() {
        const from = this.#audio.confirmed;
        const limit = Math.min(this.#options.chunkBytes, (this.#marks.next?.offset ?? Infinity) - from);
        const headers = { 'Content-Type': 'application/octet-stream', 'Upload-Offset': `${from - this.#base}` };
        let refusal = null;
        let document;
        try {
            ({ document } = await this.#post('audio', { headers, body: this.#audio.read(from, limit) }));
        } catch (error) {
            if (!(error instanceof STTError)) throw error;
            refusal = error;
            document = error.document;
        }
        // the page where one signs in to a network has no offset
        const offset = document.offset === undefined ? from : document.offset + this.#base;
        if (!this.#audio.confirm(offset)) throw new STTError('session_lost', 'The server has other audio.');
        if (offset > from) this.#options.onConfirmed();
        if (refusal) throw refusal;
        if (offset === from) throw serverAway('The server takes the audio but does not store it.');
    }

    /** @param {import('./flush-marks.js').Mark} mark */
    async #askFlush(mark) {
        mark.isAsked = true; // the event that answers may be faster than the answer
        try {
            await this.#post('flush', {});
            this.#options.onConfirmed();
        } catch (error) {
            mark.isAsked = false;
            // without a session there is more to do than to tell this one caller
            if (!(error instanceof STTError) || error.action !== 'give_up' || error.code === 'session_ended') throw error;
            this.#marks.refuse(mark, error);
        }
    }

    /** @param {string} path @param {import('./stt-wire.js').RequestOptions} options */
    #post(path, options) {
        this.#inFlight = new AbortController();
        return this.#options.post(path, { ...options, signal: this.#inFlight.signal });
    }
}
