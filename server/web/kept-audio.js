const REPLAY_SECONDS = 120; // a full backlog of the server, and the longest utterance, take less

/**
 * The audio of an upload that may still be needed: what the server has not confirmed, and what no final accounts for.
 * Offsets are bytes, counted from the first one of the session, and go on when the server's session is a new one.
 */
export class KeptAudio {
    #bytesPerSecond;
    #frameBytes;
    #largestReplay;
    /** @type {{from: number, bytes: Uint8Array}[]} */
    #chunks = [];
    #first;
    #accounted = 0;

    /**
     * @param {number} start offset of the first byte to come
     * @param {import('./stt-events.js').SessionConfig} config the whole configuration of the session
     * @param {number} largestReplay bytes of a container that are kept at most
     */
    constructor(start, config, largestReplay) {
        /** Offset of the first byte to come. */
        this.end = start;
        /** Offset of the first byte that the server has not confirmed. */
        this.confirmed = start;
        /** Seconds of the audio clock that finals account for. */
        this.through = 0;
        this.#first = start;
        this.#frameBytes = frameBytes(config);
        this.#bytesPerSecond = this.#frameBytes * config.sample_rate;
        this.#largestReplay = largestReplay;
    }

    /** Seconds that so many bytes last; 0 if only the server can tell. @param {number} bytes */
    seconds(bytes) {
        return this.#bytesPerSecond ? bytes / this.#bytesPerSecond : 0;
    }

    /** @param {ArrayBuffer | ArrayBufferView} audio copied: the caller may use it again */
    append(audio) {
        const view = ArrayBuffer.isView(audio) ? audio : new Uint8Array(audio);
        const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice();
        this.#chunks.push({ from: this.end, bytes });
        this.end += bytes.length;
    }

    /** @param {number} from @param {number} limit @returns {Uint8Array<ArrayBuffer>} up to `limit` bytes from `from` on */
    read(from, limit) {
        const until = Math.min(from + limit, this.end);
        const wanted = new Uint8Array(Math.max(0, until - from));
        for (const chunk of this.#chunks) {
            const start = Math.max(from, chunk.from);
            const end = Math.min(until, chunk.from + chunk.bytes.length);
            if (start < end) wanted.set(chunk.bytes.subarray(start - chunk.from, end - chunk.from), start - from);
        }
        return wanted;
    }

    /** The server has everything before `offset`. @param {number} offset @returns {boolean} false: it has other audio */
    confirm(offset) {
        if (!Number.isInteger(offset) || offset < this.confirmed || offset > this.end) return false;
        this.confirmed = offset;
        this.#forget();
        return true;
    }

    /** Finals account for everything before this time. @param {number} seconds on the audio clock */
    account(seconds) {
        this.through = Math.max(this.through, seconds);
        const frames = Math.round((this.through * this.#bytesPerSecond) / this.#frameBytes);
        this.#accounted = frames * this.#frameBytes || 0;
        this.#forget();
    }

    /** The server has recognised everything that it has stored. */
    accountConfirmed() {
        if (this.#bytesPerSecond) this.account(this.seconds(this.confirmed));
    }

    /** Whether a new session can take over. Of a container only the whole can be decoded. */
    get isReplayable() {
        return this.#bytesPerSecond > 0 || this.#first === 0;
    }

    /**
     * What no final accounts for; where only the server could tell what that is, what is not confirmed.
     * @returns {{seconds: number, audio: Uint8Array}} `seconds`: where it begins
     */
    unaccounted() {
        const begin = this.#bytesPerSecond ? this.#replayStart : this.confirmed;
        return { seconds: this.seconds(begin), audio: this.read(begin, Infinity) };
    }

    /** Whether there is audio that no final accounts for. */
    get isOwed() {
        return this.end > (this.#bytesPerSecond ? this.#replayStart : this.confirmed);
    }

    /** Begin again for a new session. @returns {number} the offset of the first byte that it gets */
    rewind() {
        this.confirmed = this.#bytesPerSecond ? this.#replayStart : 0;
        return this.confirmed;
    }

    get #replayStart() {
        return Math.max(this.#first, this.#accounted);
    }

    /** Drop what can't be asked for any more. In a long silence there are no finals: hence the bound. */
    #forget() {
        const needed = this.#bytesPerSecond ? this.#firstNeeded : this.end > this.#largestReplay ? this.confirmed : 0;
        while (this.#chunks.length && this.#chunks[0].from + this.#chunks[0].bytes.length <= needed) this.#chunks.shift();
        this.#first = this.#chunks[0]?.from ?? this.end;
    }

    get #firstNeeded() {
        const bound = this.confirmed - this.#bytesPerSecond * REPLAY_SECONDS;
        return Math.min(this.confirmed, Math.max(this.#accounted, bound));
    }
}

/** @param {import('./stt-events.js').SessionConfig} config @returns {number} 0: a container may come, and only the server knows what is in it */
function frameBytes({ encoding, channels }) {
    const width = { linear16: 2, mulaw: 1, alaw: 1, auto: 0 }[encoding] ?? 0;
    return width * channels;
}
