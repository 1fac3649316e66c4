/**
 * The way up to one session of the server: audio, and the marks of flushes at their places in it.
 */
export declare class Upload {
    #private;
    /**
     * @param {import('./kept-audio.js').KeptAudio} audio
     * @param {import('./flush-marks.js').FlushMarks} marks
     * @param {number} base offset in `audio` of the first byte of the server's session
     * @param {object} options
     * @param {(path: string, request: import('./stt-wire.js').RequestOptions) => Promise<import('./stt-wire.js').Answer>} options.post
     * @param {number} options.chunkBytes
     * @param {() => void} options.onConfirmed
     */
    constructor(audio: import('./kept-audio.js').KeptAudio, marks: import('./flush-marks.js').FlushMarks, base: number, options: {
        post: (path: string, request: import('./stt-wire.js').RequestOptions) => Promise<import('./stt-wire.js').Answer>;
        chunkBytes: number;
        onConfirmed: () => void;
    });
    /** Whether there is something to send, or to ask. */
    get hasWork(): boolean;
    /** Send one chunk, or ask for one flush. Raises `STTError`; also then the server may have taken some of it. */
    step(): Promise<void>;
    /** Give up the request that is on its way. */
    abort(): void;
}
