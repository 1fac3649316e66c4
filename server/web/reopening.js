import { delaySeconds } from './retry.js';
import { Signal, STTError } from './stt-wire.js';

const MAX_IN_A_ROW = 5; // without a final between them

/** Opens another session of the server in place of one that is lost, as often as that makes sense. */
export class Reopening {
    #client;
    #onWaiting;
    #inARow = 0;
    #tryAgain = new Signal();

    /** @param {import('./stt-client.js').STTClient} client @param {(waiting: import('./stt-events.js').Waiting) => void} onWaiting */
    constructor(client, onWaiting) {
        this.#client = client;
        this.#onWaiting = onWaiting;
    }

    /** A final has come, or a person wants another try: the count begins anew. */
    reset() {
        this.#inARow = 0;
    }

    /** Do not wait before the next try. */
    hurry() {
        this.#tryAgain.fire();
    }

    /**
     * Raises `session_lost` where another session could not go on, and what `STTClient.createSession` raises.
     * @param {import('./stt-events.js').SessionConfig} config
     * @param {import('./kept-audio.js').KeptAudio} audio what is held
     * @param {string} reason why the one before was lost
     * @param {AbortSignal} signal
     */
    async open(config, audio, reason, signal) {
        const tooOften = this.#inARow >= MAX_IN_A_ROW;
        if (tooOften || !audio.isReplayable) {
            const why = tooOften ? 'again and again' : 'and not all of its file is held any more';
            throw new STTError('session_lost', `The session is lost, ${why}.`, { document: { reason } });
        }
        if (this.#inARow++) await this.#tryAgain.wait(delaySeconds(this.#inARow));
        const giveUpSeconds = this.#client.options.holdSeconds;
        const options = { giveUpSeconds, signal, tryAgain: this.#tryAgain, onWaiting: this.#onWaiting };
        return this.#client.open(config, options);
    }
}
