const FIRST_DELAY_SECONDS = 0.2;
const LONGEST_DELAY_SECONDS = 5;

/**
 * Wait after so many failures in a row (from 1), jittered so that clients do not come back in step.
 * @param {number} failures @param {number} [retryAfter] seconds that the server asks for
 */
export function delaySeconds(failures, retryAfter = 0) {
    const backoff = Math.min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** Math.min(failures - 1, 30));
    return retryAfter + backoff * (0.5 + Math.random() / 2);
}

/** The tries of one thing: how long to wait before the next, and when to give up. */
export class Retry {
    #failures = 0;
    #since = 0;

    /** It has worked: the give-up time starts anew. */
    reset() {
        this.#failures = 0;
    }

    /**
     * Seconds to wait before another try. Throws `error` when there should be none.
     * @param {import('./stt-wire.js').STTError} error @param {number} giveUpSeconds from the first failure in a row
     */
    delay(error, giveUpSeconds) {
        if (!error.retryable) throw error;
        if (error.action === 'wait') this.reset();
        if (this.#failures === 0) this.#since = Date.now();
        this.#failures += 1;
        const seconds = delaySeconds(this.#failures, error.retryAfter);
        if (Date.now() + seconds * 1000 > this.#since + giveUpSeconds * 1000) throw error;
        return seconds;
    }
}
