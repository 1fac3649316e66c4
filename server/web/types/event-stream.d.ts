export type Source = {
    readyState: number;
    onmessage: ((message: any) => void) | null;
    onerror: ((event: any) => void) | null;
    close: () => void;
};
export type SourceClass = new (url: string) => Source;
export type EventStreamOptions = {
    EventSource: SourceClass;
    /**
     * without a frame for so long the connection is dead, whatever TCP says
     */
    stallSeconds: number;
    /**
     * the session as the server sees it
     */
    describe: () => Promise<import('./stt-wire.js').JSONObject>;
    onEvent: (type: string, detail: any) => void;
    onReached: (reached: boolean) => void;
    onStalled: () => void;
    /**
     * nothing comes any more
     */
    onFailed: (error: unknown) => void;
};
/**
 * What is used of an `EventSource`.
 * @typedef {object} Source
 * @property {number} readyState
 * @property {((message: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onerror
 * @property {() => void} close
 */
/** @typedef {new (url: string) => Source} SourceClass */
/**
 * @typedef {object} EventStreamOptions
 * @property {SourceClass} EventSource
 * @property {number} stallSeconds without a frame for so long the connection is dead, whatever TCP says
 * @property {() => Promise<import('./stt-wire.js').JSONObject>} describe the session as the server sees it
 * @property {(type: string, detail: any) => void} onEvent
 * @property {(reached: boolean) => void} onReached
 * @property {() => void} onStalled
 * @property {(error: unknown) => void} onFailed nothing comes any more
 */
/** The events of one session of the server, each once and in order, over any number of native `EventSource`s. */
export declare class EventStream {
    #private;
    /** The id of the newest event. */
    lastEventId: number;
    /** @param {URL} url @param {number} after the id of the last event that is known @param {EventStreamOptions} options */
    constructor(url: URL, after: number, options: EventStreamOptions);
    /** Do not wait before the next try. */
    hurry(): void;
    close(): void;
}
