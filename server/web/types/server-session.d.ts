import { Upload } from './upload.js';
export type JSONObject = import('./stt-wire.js').JSONObject;
export type Audio = {
    kept: import('./kept-audio.js').KeptAudio;
    marks: import('./flush-marks.js').FlushMarks;
    /**
     * offset in `kept` of the server's first byte
     */
    base: number;
};
export type Listener = {
    onEvent: (type: string, detail: any) => void;
    onReached: (reached: boolean) => void;
    /**
     * no event comes any more
     */
    onFailed: (error: unknown) => void;
    onConfirmed: () => void;
};
/** @typedef {import('./stt-wire.js').JSONObject} JSONObject */
/**
 * @typedef {object} Audio what goes up
 * @property {import('./kept-audio.js').KeptAudio} kept
 * @property {import('./flush-marks.js').FlushMarks} marks
 * @property {number} base offset in `kept` of the server's first byte
 */
/**
 * @typedef {object} Listener
 * @property {(type: string, detail: any) => void} onEvent
 * @property {(reached: boolean) => void} onReached
 * @property {(error: unknown) => void} onFailed no event comes any more
 * @property {() => void} onConfirmed
 */
/** One session of the server: its address, the upload to it and the events from it. */
export declare class ServerSession {
    #private;
    /** @type {string} */
    id: string;
    /** @type {string} */
    engine: string;
    upload: Upload;
    /**
     * @param {import('./stt-client.js').STTClient} client
     * @param {JSONObject} document what the server says of it
     * @param {Audio} audio
     * @param {number} after the id of the last event that is known
     * @param {Listener} listener
     */
    constructor(client: import('./stt-client.js').STTClient, document: JSONObject, { kept, marks, base }: Audio, after: number, listener: Listener);
    /** Read the events, from the last one that is known on. */
    listen(): void;
    /** Do not wait before the next try to read events. */
    hurry(): void;
    /** Neither send nor read any more. */
    close(): void;
    /** @returns {Promise<JSONObject>} the session as the server sees it */
    state(): Promise<JSONObject>;
    /**
     * Have the server recognise what is left. Raises what `onRefused` raises.
     * @param {object} react
     * @param {() => boolean} react.isOver whether it is not worth asking any more
     * @param {(error: unknown) => Promise<void>} react.onRefused waits for what makes another try worth it
     * @returns {Promise<JSONObject | null>} the whole transcript; null: it was over before
     */
    finish({ isOver, onRefused }: {
        isOver: () => boolean;
        onRefused: (error: unknown) => Promise<void>;
    }): Promise<JSONObject | null>;
    /**
     * Ask once for something of the session. Raises `STTError`.
     * @param {string} method @param {string} [below] its path @param {import('./stt-wire.js').RequestOptions} [options]
     */
    request(method: string, below?: string, options?: import('./stt-wire.js').RequestOptions): Promise<import("./stt-wire.js").Answer>;
}
