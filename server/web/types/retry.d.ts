/**
 * Wait after so many failures in a row (from 1), jittered so that clients do not come back in step.
 * @param {number} failures @param {number} [retryAfter] seconds that the server asks for
 */
export declare function delaySeconds(failures: number, retryAfter?: number): number;
/** The tries of one thing: how long to wait before the next, and when to give up. */
export declare class Retry {
    #private;
    /** It has worked: the give-up time starts anew. */
    reset(): void;
    /**
     * Seconds to wait before another try. Throws `error` when there should be none.
     * @param {import('./stt-wire.js').STTError} error @param {number} giveUpSeconds from the first failure in a row
     */
    delay(error: import('./stt-wire.js').STTError, giveUpSeconds: number): number;
}
