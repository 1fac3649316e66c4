/** @typedef {{type: string, data: string, lastEventId: string}} Message */
/** @typedef {(url: string | URL, options: RequestInit) => Promise<Response>} Fetch */

/**
 * `EventSource` as in HTML's living standard, for Node, which lacks it: reconnects after a cut with Last-Event-ID, and
 * gives up on any answer but 200.
 */
export class FetchEventSource {
    static CLOSED = 2;

    readyState = 0;
    /** @type {((message: Message) => void) | null} */
    onmessage = null;
    /** @type {((event: {type: 'error'}) => void) | null} */
    onerror = null;
    #fetch;
    #retrySeconds;
    #isRetryTaken;
    #stop = new AbortController();
    #lastEventId = '';

    /**
     * @param {string | URL} url
     * @param {{fetch?: Fetch, retrySeconds?: number}} [options] `retrySeconds`: between two tries, whatever the server says
     */
    constructor(url, { fetch = globalThis.fetch, retrySeconds } = {}) {
        this.url = `${url}`;
        this.#fetch = fetch;
        this.#retrySeconds = retrySeconds ?? 3;
        this.#isRetryTaken = retrySeconds === undefined;
        this.#run();
    }

    close() {
        this.readyState = FetchEventSource.CLOSED;
        this.#stop.abort();
    }

    async #run() {
        for (;;) {
            const status = await this.#read().catch(() => 0);
            if (this.#stop.signal.aborted) return;
            this.readyState = status && status !== 200 ? FetchEventSource.CLOSED : 0;
            this.onerror?.({ type: 'error' });
            if (this.readyState === FetchEventSource.CLOSED) return;
            await new Promise((wake) => setTimeout(wake, this.#retrySeconds * 1000));
            if (this.#stop.signal.aborted) return;
        }
    }

    /** @returns {Promise<number>} the status of the answer, at the end of its body */
    async #read() {
        /** @type {Record<string, string>} */
        const headers = this.#lastEventId ? { 'Last-Event-ID': this.#lastEventId } : {};
        const { status, body } = await this.#fetch(this.url, { headers, signal: this.#stop.signal });
        if (status !== 200 || !body) return status;
        this.readyState = 1;
        const decoder = new TextDecoder();
        const reader = body.getReader();
        let text = '';
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
            const frames = (text + decoder.decode(part.value, { stream: true })).split('\n\n');
            text = frames.pop() ?? '';
            for (const frame of frames) this.#dispatch(frame);
        }
        return status;
    }

    /** @param {string} frame */
    #dispatch(frame) {
        const fields = Object.fromEntries(frame.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2)));
        this.#lastEventId = fields.id ?? this.#lastEventId;
        if (this.#isRetryTaken && 'retry' in fields) this.#retrySeconds = Number(fields.retry) / 1000;
        if (!('data' in fields) || this.readyState !== 1) return;
        this.onmessage?.({ type: 'message', data: fields.data, lastEventId: this.#lastEventId });
    }
}
