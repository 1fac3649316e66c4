/**
 * The audio of an upload that may still be needed: what the server has not confirmed, and what no final accounts for.
 * Offsets are bytes, counted from the first one of the session, and go on when the server's session is a new one.
 */
export declare class KeptAudio {
    #private;
    /** Offset of the first byte to come. */
    end: number;
    /** Offset of the first byte that the server has not confirmed. */
    confirmed: number;
    /** Seconds of the audio clock that finals account for. */
    through: number;
    /**
     * @param {number} start offset of the first byte to come
     * @param {import('./stt-events.js').SessionConfig} config the whole configuration of the session
     * @param {number} largestReplay bytes of a container that are kept at most
     */
    constructor(start: number, config: import('./stt-events.js').SessionConfig, largestReplay: number);
    /** Seconds that so many bytes last; 0 if only the server can tell. @param {number} bytes */
    seconds(bytes: number): number;
    /** @param {ArrayBuffer | ArrayBufferView} audio copied: the caller may use it again */
    append(audio: ArrayBuffer | ArrayBufferView): void;
    /** @param {number} from @param {number} limit @returns {Uint8Array<ArrayBuffer>} up to `limit` bytes from `from` on */
    read(from: number, limit: number): Uint8Array<ArrayBuffer>;
    /** The server has everything before `offset`. @param {number} offset @returns {boolean} false: it has other audio */
    confirm(offset: number): boolean;
    /** Finals account for everything before this time. @param {number} seconds on the audio clock */
    account(seconds: number): void;
    /** The server has recognised everything that it has stored. */
    accountConfirmed(): void;
    /** Whether a new session can take over. Of a container only the whole can be decoded. */
    get isReplayable(): boolean;
    /**
     * What no final accounts for; where only the server could tell what that is, what is not confirmed.
     * @returns {{seconds: number, audio: Uint8Array}} `seconds`: where it begins
     */
    unaccounted(): {
        seconds: number;
        audio: Uint8Array;
    };
    /** Whether there is audio that no final accounts for. */
    get isOwed(): boolean;
    /** Begin again for a new session. @returns {number} the offset of the first byte that it gets */
    rewind(): number;
}
