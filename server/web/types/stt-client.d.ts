/**
 * Real-time speech-to-text over plain HTTP, for web pages and Node. It needs nothing but the files beside it:
 * event-source.js, event-stream.js, flush-marks.js, kept-audio.js, microphone.js, mp4-index.js, pcm-worklet.js, reach.js,
 * recording.js, reopening.js, results.js, retry.js, server-session.js, stt-codes.js, stt-events.js, stt-session.js,
 * stt-wire.js, transcript-formats.js and upload.js.
 *
 *     import { Microphone, STTClient } from 'http://localhost:8001/web/stt-client.js';
 *
 *     const client = new STTClient('http://localhost:8001');
 *     const session = await client.createSession({ language: 'ko', ...Microphone.FORMAT });
 *     session.addEventListener('token', ({ detail }) => showInterim(detail.text)); // replaces the one before
 *     session.addEventListener('final', ({ detail }) => append(detail.text));      // will not change
 *
 *     const microphone = await Microphone.open();
 *     microphone.addEventListener('pcm', ({ detail }) => session.send(detail));
 *     // … and when the speaker is done:
 *     await microphone.close();
 *     const transcript = await session.finish();
 *
 * Nothing is lost or doubled: audio goes up with offsets and is kept until finals account for it, over any number of cuts
 * and of servers that forget the session; events come down with ids, each once and in order.
 */
import { STTSession } from './stt-session.js';
import { Signal } from './stt-wire.js';
export { FetchEventSource } from './event-source.js';
export { Microphone } from './microphone.js';
export { Recording } from './recording.js';
export { CODES } from './stt-codes.js';
export { STTSession } from './stt-session.js';
export { STTError } from './stt-wire.js';
export type SessionConfig = import('./stt-events.js').SessionConfig;
export type Waiting = import('./stt-events.js').Waiting;
export type JSONObject = import('./stt-wire.js').JSONObject;
export type Fetch = import('./event-source.js').Fetch;
export type OpenOptions = {
    /**
     * for how long a session is tried for where the server is full, restarting or away: 60;
     * 5 at most until the server has answered once
     */
    giveUpSeconds?: number;
    /**
     * ends the waiting; what is raised then is its reason
     */
    signal?: AbortSignal;
    /**
     * called before each wait for another try
     */
    onWaiting?: (waiting: Waiting) => void;
};
/** @typedef {import('./stt-events.js').SessionConfig} SessionConfig */
/** @typedef {import('./stt-events.js').Waiting} Waiting */
/** @typedef {import('./stt-wire.js').JSONObject} JSONObject */
/** @typedef {import('./event-source.js').Fetch} Fetch */
/**
 * @typedef {object} OpenOptions
 * @property {number} [giveUpSeconds] for how long a session is tried for where the server is full, restarting or away: 60;
 *     5 at most until the server has answered once
 * @property {AbortSignal} [signal] ends the waiting; what is raised then is its reason
 * @property {(waiting: Waiting) => void} [onWaiting] called before each wait for another try
 */
/** One server. */
export declare class STTClient {
    #private;
    options: {
        stallSeconds: number;
        holdSeconds: number;
        bufferBytes: number;
        chunkBytes: number;
        EventSource: import("./event-stream.js").SourceClass | {
            new (url: string | URL, eventSourceInitDict?: EventSourceInit): EventSource;
            prototype: EventSource;
            readonly CONNECTING: 0;
            readonly OPEN: 1;
            readonly CLOSED: 2;
        };
    };
    /**
     * @param {string | URL} [baseUrl] of the server; a page's own origin if left out
     * @param {object} [options]
     * @param {string} [options.apiKey] sent as a bearer token
     * @param {number} [options.stallSeconds] a stream that is silent for so long (heartbeats come each second) is dead
     * @param {number} [options.holdSeconds] for how long a session waits for a server that is away before it fails
     * @param {number} [options.bufferBytes] unconfirmed audio that a session keeps at most
     * @param {number} [options.chunkBytes] of one POST
     * @param {Fetch} [options.fetch]
     * @param {import('./event-stream.js').SourceClass} [options.EventSource]
     */
    constructor(baseUrl?: string | URL, { apiKey, fetch, ...options }?: {
        apiKey?: string;
        stallSeconds?: number;
        holdSeconds?: number;
        bufferBytes?: number;
        chunkBytes?: number;
        fetch?: Fetch;
        EventSource?: import('./event-stream.js').SourceClass;
    });
    /** What the server can do, and its limits. @returns {Promise<JSONObject>} */
    info(): Promise<JSONObject>;
    /**
     * Open a session. Where the server is full, restarting or away it is tried again, and `onWaiting` told; any other
     * refusal (`invalid_request`, …) is raised at once.
     * @param {Partial<SessionConfig>} [config] @param {OpenOptions} [options]
     * @returns {Promise<STTSession>}
     */
    createSession(config?: Partial<SessionConfig>, options?: OpenOptions): Promise<STTSession>;
    /**
     * Take up a session that exists: `send` goes on at the first byte that the server lacks, events come from `after`.
     * @param {string} sessionId
     * @param {number} [after]
     * @returns {Promise<STTSession>}
     */
    session(sessionId: string, after?: number): Promise<STTSession>;
    /**
     * `createSession` without the session around it: what the server says of the new one.
     * @param {Partial<SessionConfig>} config
     * @param {OpenOptions & {tryAgain?: Signal}} options `tryAgain`: cuts a wait short
     * @returns {Promise<JSONObject>}
     */
    open(config: Partial<SessionConfig>, { giveUpSeconds, signal, onWaiting, tryAgain }: OpenOptions & {
        tryAgain?: Signal;
    }): Promise<JSONObject>;
    /** @param {string} path below the server's address, also if it begins with a slash @returns {URL} */
    url(path: string): URL;
    /**
     * Ask once. Raises `STTError`.
     * @param {string} method @param {string} path
     * @param {import('./stt-wire.js').RequestOptions & {token?: string}} [options] `token`: of one session
     * @returns {Promise<import('./stt-wire.js').Answer>}
     */
    request(method: string, path: string, { headers, token, ...options }?: import('./stt-wire.js').RequestOptions & {
        token?: string;
    }): Promise<import('./stt-wire.js').Answer>;
}
