/** @typedef {{type: string, data: string, lastEventId: string}} Message */
/** @typedef {(url: string | URL, options: RequestInit) => Promise<Response>} Fetch */
export type Message = {
    type: string;
    data: string;
    lastEventId: string;
};
export type Fetch = (url: string | URL, options: RequestInit) => Promise<Response>;
/**
 * `EventSource` as in HTML's living standard, for Node, which lacks it: reconnects after a cut with Last-Event-ID, and
 * gives up on any answer but 200.
 */
export declare class FetchEventSource {
    #private;
    url: string;
    static CLOSED: number;
    readyState: number;
    /** @type {((message: Message) => void) | null} */
    onmessage: ((message: Message) => void) | null;
    /** @type {((event: {type: 'error'}) => void) | null} */
    onerror: ((event: {
        type: 'error';
    }) => void) | null;
    /**
     * @param {string | URL} url
     * @param {{fetch?: Fetch, retrySeconds?: number}} [options] `retrySeconds`: between two tries, whatever the server says
     */
    constructor(url: string | URL, { fetch, retrySeconds }?: {
        fetch?: Fetch;
        retrySeconds?: number;
    });
    close(): void;
}
