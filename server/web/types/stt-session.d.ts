import { Emitter, STTError } from './stt-wire.js';
export type JSONObject = import('./stt-wire.js').JSONObject;
export type Transcript = import('./stt-events.js').Transcript;
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
export declare class STTSession extends Emitter<import('./stt-events.js').SessionEvents> {
    #private;
    /** The whole configuration. @type {import('./stt-events.js').SessionConfig} */
    config: import('./stt-events.js').SessionConfig;
    /** @type {'open' | 'finishing' | 'ended' | 'failed' | 'closed'} `finishing`: no more audio is taken */
    status: 'open' | 'finishing' | 'ended' | 'failed' | 'closed';
    /** What made it fail. @type {STTError | null} */
    failure: STTError | null;
    /**
     * Use `STTClient.createSession` or `STTClient.session`.
     * @param {import('./stt-client.js').STTClient} client
     * @param {JSONObject} document what the server says of its session
     * @param {number} [after] the id of the last event that is known
     */
    constructor(client: import('./stt-client.js').STTClient, document: JSONObject, after?: number);
    /** Of the server's session; another one after `reopened`. */
    get id(): string;
    /** The engine that recognises now. */
    get engine(): string;
    /** Bytes taken by `send` that the server has not confirmed. */
    get waitingBytes(): number;
    /** The same in seconds, of raw samples; 0 where `encoding` is `auto`. */
    get waitingSeconds(): number;
    /** Bytes that the server has stored. Less than before after a `reopened`. */
    get confirmedBytes(): number;
    /** Whether the server can be reached, and knows the session. */
    get online(): boolean;
    /**
     * Take audio for the upload; it is kept until finals account for it. Raises `buffer_full` (nothing was taken) and
     * `closed`. What comes after a failure is still kept, for `resume` and `unrecognized`.
     * @param {ArrayBuffer | ArrayBufferView} audio
     */
    send(audio: ArrayBuffer | ArrayBufferView): void;
    /** Send a file as it is, at the pace of the server. Raises what made the session fail. @param {Blob} file */
    sendBlob(file: Blob): Promise<void>;
    /** Wait until the server has stored everything that was sent so far. Raises what made the session fail. */
    stored(): Promise<void>;
    /**
     * Ask for the final of what was sent so far, now; the session goes on. Raises what made the session fail.
     * @returns {Promise<string | null>} the text of that final; null where nothing was said since the one before
     */
    flush(): Promise<string | null>;
    /**
     * Send what is left, let the server recognise it, and return the whole transcript. Every `final` has been dispatched
     * when it returns. Raises what made the session fail.
     * @returns {Promise<Transcript>}
     */
    finish(): Promise<Transcript>;
    /**
     * Try again after `failed`: with the same session of the server where it may still be there, else with a new one and
     * the audio that is owed. `connection`, `reopened` or another `failed` tells what comes of it.
     */
    resume(): void;
    /**
     * What is final so far: an object for `json`, else text.
     * @template {'json' | 'text' | 'srt' | 'vtt'} [Format='json']
     * @param {Format} [format]
     * @returns {Promise<Format extends 'json' ? Transcript : string>}
     */
    transcript<Format extends 'json' | 'text' | 'srt' | 'vtt' = 'json'>(format?: Format): Promise<Format extends 'json' ? Transcript : string>;
    /** Where the server stands: `status`, `offset`, `recognized_seconds`, … @returns {Promise<JSONObject>} */
    state(): Promise<JSONObject>;
    /** Have the server erase everything about the session. */
    purge(): Promise<void>;
    /** Leave the session as it is on the server. No event comes any more, no audio goes. Idempotent. */
    close(): void;
    /**
     * The audio that is not in any final: of raw samples all since the newest final (what a dead server had taken is not
     * lost), otherwise what was not confirmed.
     * @returns {{seconds: number, audio: Uint8Array}} `seconds`: where on this session's audio clock it begins
     */
    unrecognized(): {
        seconds: number;
        audio: Uint8Array;
    };
}
