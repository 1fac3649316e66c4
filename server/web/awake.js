/** Keeps the screen of a phone on while something is recorded. */
export class Awake {
    #isWanted = false;
    /** @type {WakeLockSentinel | undefined} */
    #lock;

    constructor() {
        // a hidden page loses the lock
        document.addEventListener('visibilitychange', () => document.hidden || this.keep(this.#isWanted));
    }

    /** @param {boolean} isWanted */
    async keep(isWanted) {
        this.#isWanted = isWanted;
        try {
            if (isWanted) this.#lock = await navigator.wakeLock?.request('screen');
        } catch {
            return; // battery saving: then the screen may go dark
        }
        if (!this.#isWanted) await this.#lock?.release();
    }
}
