/** `EventSource` as in HTML's living standard, which Node lacks: reconnects after a cut with Last-Event-ID, and gives up on
 * any answer but 200. `request` is its network; it waits `retrySeconds`, or what the server says, between two tries. */
export class EventSource {
    static CLOSED = 2;

    readyState = 0;
    onmessage = null;
    onerror = null;
    #request;
    #retrySeconds;
    #isRetryTaken;
    #stop = new AbortController();
    #lastEventId = '';

    constructor(url, { request = fetch, retrySeconds } = {}) {
        this.url = url;
        this.#request = request;
        this.#retrySeconds = retrySeconds ?? 3;
        this.#isRetryTaken = retrySeconds === undefined;
        this.#run();
    }

    close() {
        this.readyState = EventSource.CLOSED;
        this.#stop.abort();
    }

    async #run() {
        for (;;) {
            const status = await this.#read().catch(() => 0);
            if (this.#stop.signal.aborted) return;
            this.readyState = status && status !== 200 ? EventSource.CLOSED : 0;
            this.onerror?.({ type: 'error' });
            if (this.readyState === EventSource.CLOSED) return;
            await new Promise((wake) => setTimeout(wake, this.#retrySeconds * 1000));
        }
    }

    async #read() {
        const headers = this.#lastEventId ? { 'Last-Event-ID': this.#lastEventId } : {};
        const { status, body } = await this.#request(this.url, { headers, signal: this.#stop.signal });
        if (status !== 200) return status;
        this.readyState = 1;
        let text = '';
        for await (const part of body.pipeThrough(new TextDecoderStream())) {
            const frames = (text + part).split('\n\n');
            text = frames.pop();
            for (const frame of frames) this.#dispatch(frame);
        }
        return status;
    }

    #dispatch(frame) {
        const fields = Object.fromEntries(frame.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2)));
        this.#lastEventId = fields.id ?? this.#lastEventId;
        if (this.#isRetryTaken && 'retry' in fields) this.#retrySeconds = Number(fields.retry) / 1000;
        if (!('data' in fields) || this.readyState !== 1) return;
        this.onmessage?.({ type: 'message', data: fields.data, lastEventId: this.#lastEventId });
    }
}
