export type JSONObject = Record<string, any>;
/** @typedef {Record<string, any>} JSONObject what the server says; a newer server may say more */
/**
 * Everything that goes wrong. `code` is one of the server's, or
 * `server_away` (no usable answer), `session_lost` (the session cannot go on, not in a new one either),
 * `buffer_full` (more audio waits than may), `closed` (after `finish` or `close`), and the microphone's
 * `insecure_origin`, `permission_denied`, `no_microphone`, `microphone_busy`.
 */
export declare class STTError extends Error {
    code: string;
    /** The HTTP status; 0 where there was no answer. */
    status: number;
    /** Seconds that the server asks to wait. */
    retryAfter: number;
    /** The whole problem document. */
    document: JSONObject;
    /** What the module does about it. */
    action: import("./stt-codes.js").Action;
    /**
     * @param {string} code
     * @param {string} detail
     * @param {{status?: number, retryAfter?: number, document?: JSONObject, cause?: unknown}} [more]
     */
    constructor(code: string, detail: string, { status, retryAfter, document, cause }?: {
        status?: number;
        retryAfter?: number;
        document?: JSONObject;
        cause?: unknown;
    });
    /** Whether another try of the same request can help. */
    get retryable(): boolean;
}
/** @param {string} detail @param {{status?: number, retryAfter?: number, document?: JSONObject, cause?: unknown}} [more] */
export declare function serverAway(detail: string, more?: {
    status?: number;
    retryAfter?: number;
    document?: JSONObject;
    cause?: unknown;
}): STTError;
export declare function closed(): STTError;
export type Answer = {
    status: number;
    text: string;
    document: JSONObject;
};
export type RequestOptions = Omit<RequestInit, 'headers'> & {
    headers?: Record<string, string>;
    seconds?: number;
};
/** @typedef {{status: number, text: string, document: JSONObject}} Answer */
/** @typedef {Omit<RequestInit, 'headers'> & {headers?: Record<string, string>, seconds?: number}} RequestOptions */
/**
 * Ask once. Raises `STTError`.
 * @param {import('./event-source.js').Fetch} fetch @param {URL} url @param {RequestOptions} options
 * @returns {Promise<Answer>}
 */
export declare function request(fetch: import('./event-source.js').Fetch, url: URL, { signal, seconds, ...options }: RequestOptions): Promise<Answer>;
/** @param {string} text @returns {JSONObject} empty for what is no JSON object */
export declare function parsed(text: string): JSONObject;
/**
 * An event target that knows its events: `Events` maps each type to its `detail`.
 * @template {object} Events
 */
export declare class Emitter<Events extends object> extends EventTarget {
    /**
     * @template {keyof Events & string} Type
     * @overload
     * @param {Type} type
     * @param {(event: CustomEvent<Events[Type]>) => void} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     */
    /**
     * @overload
     * @param {string} type
     * @param {EventListenerOrEventListenerObject | null} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     */
    /**
     * @param {string} type
     * @param {any} listener
     * @param {boolean | AddEventListenerOptions} [options]
     */
    addEventListener<Type extends keyof Events & string>(type: Type, listener: (event: CustomEvent<Events[Type]>) => void, options?: boolean | AddEventListenerOptions): void;
    /**
     * @template {keyof Events & string} Type
     * @overload
     * @param {Type} type
     * @param {(event: CustomEvent<Events[Type]>) => void} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     */
    /**
     * @overload
     * @param {string} type
     * @param {EventListenerOrEventListenerObject | null} listener
     * @param {boolean | AddEventListenerOptions} [options]
     * @returns {void}
     */
    /**
     * @param {string} type
     * @param {any} listener
     * @param {boolean | AddEventListenerOptions} [options]
     */
    addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
    /**
     * Dispatch an event of that type.
     * @template {keyof Events & string} Type
     * @param {Type} type @param {Events[Type]} detail
     */
    tell<Type extends keyof Events & string>(type: Type, detail: Events[Type]): void;
}
/** Something to wait for. */
export declare class Signal {
    #private;
    /** @param {number} [seconds] at most so long @returns {Promise<void>} */
    wait(seconds?: number): Promise<void>;
    fire(): void;
}
