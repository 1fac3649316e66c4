// What the client and its sessions share: what goes wrong, one request, waiting.

const FIRST_DELAY_SECONDS = 0.2;
const LONGEST_DELAY_SECONDS = 5;
const REQUEST_SECONDS = 40; // longer than a server waits for room before it answers 429

/**
 * Everything that goes wrong. `code` is one of the server's, or
 * `server_away` (no usable answer), `session_lost` (the server does not know the session, or has other audio of it),
 * `buffer_full` (more audio waits than may), `closed` (after `finish` or `close`), and the microphone's
 * `insecure_origin`, `permission_denied`, `no_microphone`, `microphone_busy`.
 */
export class STTError extends Error {
    /** @param {string} code @param {string} detail */
    constructor(code, detail, { status = 0, retryAfter = 0, document = {}, retryable = false, cause } = {}) {
        super(detail, { cause });
        this.name = 'STTError';
        this.code = code;
        this.status = status;
        /** Seconds that the server asks to wait. */
        this.retryAfter = retryAfter;
        /** The whole problem document. */
        this.document = document;
        /** Whether another try of the same request can help. */
        this.retryable = retryable;
    }
}

/** @param {string} detail */
export function serverAway(detail, more = {}) {
    return new STTError('server_away', detail, { retryable: true, ...more });
}

export function closed() {
    return new STTError('closed', 'The session takes no more audio.');
}

/** Ask once. Raises `STTError`. @returns {Promise<{status: number, text: string, document: object}>} */
export async function request(fetch, url, { signal, seconds = REQUEST_SECONDS, ...options }) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), seconds * 1000);
    signal?.addEventListener('abort', () => stop.abort());
    let answer, text;
    try {
        answer = await fetch(url, { cache: 'no-store', ...options, signal: stop.signal });
        text = await answer.text();
    } catch (cause) {
        throw serverAway('The server does not answer.', { cause });
    } finally {
        clearTimeout(timer);
    }
    const isJSON = /json/.test(answer.headers.get('Content-Type'));
    const document = isJSON ? parsed(text) : {};
    if (!answer.ok) throw refusal(answer, document);
    return { status: answer.status, text, document };
}

/** What a problem document, or whatever a proxy answers in its place, stands for. */
function refusal(answer, document) {
    const { status } = answer;
    const seconds = answer.headers.get('Retry-After') ?? ''; // a date, the other form, is left to the backoff
    const retryAfter = /^\d+$/.test(seconds) ? Number(seconds) : 0;
    const code = document.code ?? `http_${status}`;
    const detail = document.detail ?? answer.statusText;
    if (code === 'session_not_found') return new STTError('session_lost', detail, { status, document });
    const more = { status, retryAfter, document };
    if (status >= 500 && code !== 'draining') return serverAway(`${detail} (${status})`, more);
    const retryable = [408, 429, 503].includes(status) || code === 'offset_mismatch';
    return new STTError(code, detail, { ...more, retryable });
}

/** @returns {object} empty for what is no JSON object */
export function parsed(text) {
    try {
        return Object(JSON.parse(text));
    } catch {
        return {};
    }
}

/** Wait after so many failures in a row (from 1), jittered so that clients do not come back in step. */
export function delaySeconds(failures, retryAfter = 0) {
    const backoff = Math.min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** Math.min(failures - 1, 30));
    return retryAfter + backoff * (0.5 + Math.random() / 2);
}

/** Something to wait for, at most so many seconds. */
export class Signal {
    #waiting = new Set();

    /** @param {number} [seconds] @returns {Promise<void>} */
    wait(seconds) {
        return new Promise((resolve) => {
            const timer = seconds === undefined ? undefined : setTimeout(() => wake(), seconds * 1000);
            const wake = () => {
                clearTimeout(timer);
                this.#waiting.delete(wake);
                resolve();
            };
            this.#waiting.add(wake);
        });
    }

    fire() {
        for (const wake of [...this.#waiting]) wake();
    }
}
