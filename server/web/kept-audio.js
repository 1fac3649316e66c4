const REPLAY_SECONDS = 60; // an utterance and its recognition take less

/** The audio of an upload that may still be needed. Offsets are bytes, counted from the session's first. */
export class KeptAudio {
    #bytesPerSecond;
    #chunks = [];
    #accounted = 0;

    /** @param {number} start offset of the first byte to come @param {object} config the session's configuration */
    constructor(start, config) {
        /** Offset of the first byte that is not confirmed, and of the first to come. */
        this.confirmed = this.end = start;
        this.#bytesPerSecond = bytesPerSecond(config);
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

    /** @returns {Uint8Array} up to `limit` bytes from `from` on */
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

    /** The server has everything before `offset`. @returns {boolean} false: this can't be, it has other audio */
    confirm(offset) {
        if (!Number.isInteger(offset) || offset < this.confirmed || offset > this.end) return false;
        this.confirmed = offset;
        this.#forget();
        return true;
    }

    /** Finals account for everything before this time. @param {number} seconds */
    account(seconds) {
        if (!this.#bytesPerSecond) return;
        this.#accounted = Math.round((seconds * this.#bytesPerSecond) / 4) * 4; // whole samples of any format
        this.#forget();
    }

    /**
     * What no final accounts for; where only the server could tell what that is, what is not confirmed.
     * @returns {{seconds: number, audio: Uint8Array}} `seconds`: where it begins
     */
    unaccounted() {
        const kept = this.#chunks[0]?.from ?? this.end;
        const begin = Math.max(kept, this.#bytesPerSecond ? this.#accounted : this.confirmed);
        return { seconds: this.seconds(begin), audio: this.read(begin, Infinity) };
    }

    /** Drop what can't be asked for any more. In a long silence there are no finals: hence the bound. */
    #forget() {
        const replay = (this.#bytesPerSecond ?? 0) * REPLAY_SECONDS;
        const needed = Math.min(this.confirmed, Math.max(this.#accounted, this.confirmed - replay));
        const first = this.#chunks.findIndex(({ from, bytes }) => from + bytes.length > needed);
        this.#chunks.splice(0, first < 0 ? this.#chunks.length : first);
    }
}

/** @returns {number | null} null: a container may come, and only the server knows what is in it */
function bytesPerSecond({ encoding, sample_rate: rate, channels }) {
    const width = { linear16: 2, mulaw: 1, alaw: 1 }[encoding];
    return width ? width * rate * channels : null;
}
