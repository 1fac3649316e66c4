import { Emitter, serverAway, STTError } from './stt-wire.js';

const ANSWER_SECONDS = 1; // of the audio thread, which may have been stopped
/** @type {Record<string, string>} */
const ERROR_CODES = {
    NotAllowedError: 'permission_denied',
    SecurityError: 'permission_denied',
    NotFoundError: 'no_microphone',
    OverconstrainedError: 'no_microphone',
};

/**
 * @typedef {object} MicrophoneEvents
 * @property {Uint8Array} pcm 150 ms of PCM16
 * @property {number} level RMS from 0 to 1, every 50 ms
 * @property {undefined} ended it was unplugged, or the permission was taken back
 * @property {true} flushed the audio thread has answered `flush`
 * @property {true} done the audio thread has ended
 */

/**
 * PCM16 at 16 kHz from the microphone, whatever rate it has.
 * @extends {Emitter<MicrophoneEvents>}
 */
export class Microphone extends Emitter {
    /**
     * The fields of a session's configuration that say what a microphone sends.
     * @type {Readonly<{encoding: 'linear16', sample_rate: number, channels: 1}>}
     */
    static FORMAT = Object.freeze({ encoding: 'linear16', sample_rate: 16_000, channels: 1 });

    #context;
    #stream;
    #node;
    #onVisible = () => document.hidden || this.#context.resume(); // a phone call stops it

    /**
     * Ask for the microphone. Call it from a click: browsers start no audio otherwise. Raises `STTError`.
     * @param {object} [options]
     * @param {MediaTrackConstraints} [options.constraints] `deviceId`, the browser's own processing, …
     * @param {string | URL} [options.workletUrl] where pcm-worklet.js is, if it is not beside this file
     * @returns {Promise<Microphone>}
     */
    static async open({ constraints = {}, workletUrl = new URL('./pcm-worklet.js', import.meta.url) } = {}) {
        if (!globalThis.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
            throw new STTError('insecure_origin', 'A browser gives the microphone to https pages and localhost only.');
        }
        const context = new AudioContext(); // before the first await: only then does it count as clicked
        try {
            await context.audioWorklet.addModule(workletUrl).catch((cause) => {
                throw serverAway('The audio worklet could not be loaded.', { cause });
            });
            const audio = { channelCount: 1, ...constraints };
            const stream = await navigator.mediaDevices.getUserMedia({ audio }).catch((cause) => {
                throw new STTError(ERROR_CODES[cause.name] ?? 'microphone_busy', cause.message, { cause });
            });
            await context.resume();
            return new Microphone(context, stream);
        } catch (error) {
            await context.close();
            throw error;
        }
    }

    /** Use `Microphone.open`. @param {AudioContext} context @param {MediaStream} stream */
    constructor(context, stream) {
        super();
        this.#context = context;
        this.#stream = stream;
        this.#node = new AudioWorkletNode(context, 'pcm', {
            processorOptions: { rate: Microphone.FORMAT.sample_rate, blockSamples: 2400, levelSeconds: 0.05 },
        });
        this.#node.port.onmessage = ({ data }) => {
            for (const [type, detail] of Object.entries(data)) this.tell(/** @type {any} */ (type), detail);
        };
        // to the speakers, silent: a node that leads nowhere is not run by every browser
        context.createMediaStreamSource(stream).connect(this.#node).connect(context.destination);
        for (const track of stream.getTracks()) track.onended = () => this.tell('ended', undefined);
        document.addEventListener('visibilitychange', this.#onVisible);
    }

    /** Give what was heard so far without waiting for a whole block: its `pcm` has been dispatched when it returns. */
    async flush() {
        await this.#asked('flush', 'flushed');
    }

    /** Stop. The last `pcm` has been dispatched when it returns. */
    async close() {
        await this.#asked('finish', 'done');
        document.removeEventListener('visibilitychange', this.#onVisible);
        this.#stream.getTracks().forEach((track) => track.stop());
        if (this.#context.state !== 'closed') await this.#context.close();
    }

    /** @param {string} request to the audio thread @param {'flushed' | 'done'} answer */
    async #asked(request, answer) {
        const answered = new Promise((resolve) => {
            this.addEventListener(answer, resolve, { once: true });
            setTimeout(resolve, ANSWER_SECONDS * 1000);
        });
        this.#node.port.postMessage(request);
        await answered;
    }
}
