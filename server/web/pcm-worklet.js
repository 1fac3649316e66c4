// The microphone's half of stt-client.js: runs in the browser's audio thread and makes PCM16 of what is heard.

const ZERO_CROSSINGS = 24;
const CUTOFF = 0.9; // of the lower of the two Nyquist frequencies; the rest is for the slope
const KAISER_BETA = 8; // about -80 dB beyond it
const SPACE = 8192;

/** Any rate to any other: a windowed sinc, one set of taps for each phase. Keeps its state from block to block. */
export class Resampler {
    #up;
    #down;
    #scale;
    #half;
    /** @type {Float32Array[]} */
    #phases;
    #phase = 0;
    #first = 0;
    #filled;
    #input;

    /** @param {number} inputRate in Hz, whole @param {number} outputRate in Hz, whole */
    constructor(inputRate, outputRate) {
        const divisor = greatestCommonDivisor(inputRate, outputRate);
        this.#up = outputRate / divisor;
        this.#down = inputRate / divisor;
        this.#scale = CUTOFF * Math.min(1, outputRate / inputRate);
        this.#half = Math.ceil(ZERO_CROSSINGS / this.#scale);
        this.#phases = new Array(this.#up);
        this.#input = new Float32Array(2 * this.#half + SPACE);
        this.#filled = this.#half - 1; // silence before the first sample, so that the first output is on it
    }

    /** @param {Float32Array} samples @param {(sample: number) => void} take called for each sample that is ready */
    process(samples, take) {
        for (let at = 0; at < samples.length; at += SPACE) this.#processPart(samples.subarray(at, at + SPACE), take);
    }

    /** What is still in the filter; nothing comes after it. @param {(sample: number) => void} take */
    flush(take) {
        this.process(new Float32Array(this.#half), take);
    }

    /** @param {Float32Array} samples @param {(sample: number) => void} take */
    #processPart(samples, take) {
        this.#input.set(samples, this.#filled);
        this.#filled += samples.length;
        while (this.#first + 2 * this.#half <= this.#filled) {
            take(this.#sample());
            this.#phase += this.#down;
            this.#first += Math.floor(this.#phase / this.#up);
            this.#phase %= this.#up;
        }
        const used = Math.min(this.#first, this.#filled);
        this.#input.copyWithin(0, used, this.#filled);
        this.#filled -= used;
        this.#first -= used;
    }

    #sample() {
        const taps = (this.#phases[this.#phase] ??= this.#taps(this.#phase / this.#up));
        let sum = 0;
        for (let tap = 0; tap < taps.length; tap++) sum += taps[tap] * this.#input[this.#first + tap];
        return sum;
    }

    /** @param {number} fraction of a sample, by which the output lies between two of the input */
    #taps(fraction) {
        const taps = new Float32Array(2 * this.#half);
        for (let tap = 0; tap < taps.length; tap++) {
            const time = tap - this.#half + 1 - fraction;
            taps[tap] = sinc(this.#scale * time) * kaiser(time / this.#half);
        }
        const gain = taps.reduce((sum, value) => sum + value, 0);
        return taps.map((value) => value / gain);
    }
}

/** @param {number} a @param {number} b @returns {number} */
function greatestCommonDivisor(a, b) {
    return b ? greatestCommonDivisor(b, a % b) : a;
}

/** @param {number} x */
function sinc(x) {
    return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** @param {number} x from -1 to 1 */
function kaiser(x) {
    return Math.abs(x) > 1 ? 0 : bessel(KAISER_BETA * Math.sqrt(1 - x * x)) / bessel(KAISER_BETA);
}

/** The modified Bessel function of the first kind, of order 0. @param {number} x */
function bessel(x) {
    let [sum, term] = [1, 1];
    for (let n = 1; term > sum * 1e-12; n++) {
        term *= (x / (2 * n)) ** 2;
        sum += term;
    }
    return sum;
}

/**
 * Messages out: `{pcm}` (bytes of one block), `{level}` (RMS from 0 to 1), `{flushed: true}`, at the end `{done: true}`.
 * Messages in: `flush` (the block that is being filled, now), `finish`.
 */
class PCMProcessor extends AudioWorkletProcessor {
    /** @param {{processorOptions: {rate: number, blockSamples: number, levelSeconds: number}}} options `rate` in Hz */
    constructor({ processorOptions: { rate, blockSamples, levelSeconds } }) {
        super();
        this.resampler = new Resampler(sampleRate, rate);
        this.block = new Int16Array(blockSamples);
        this.filled = 0;
        this.levelSamples = Math.round(levelSeconds * sampleRate);
        this.heard = 0;
        this.energy = 0;
        this.finished = false;
        this.port.onmessage = ({ data }) => (data === 'finish' ? this.finish() : this.flush());
    }

    /** @param {Float32Array[][]} inputs */
    process([channels]) {
        if (channels.length && !this.finished) {
            const mono = mixed(channels);
            this.measure(mono);
            this.resampler.process(mono, (sample) => this.take(sample));
        }
        return !this.finished;
    }

    /** @param {Float32Array} mono */
    measure(mono) {
        for (const sample of mono) this.energy += sample * sample;
        this.heard += mono.length;
        if (this.heard < this.levelSamples) return;
        this.port.postMessage({ level: Math.sqrt(this.energy / this.heard) });
        this.heard = this.energy = 0;
    }

    /** @param {number} sample */
    take(sample) {
        this.block[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
        if (this.filled === this.block.length) this.post();
    }

    post() {
        if (!this.filled) return;
        const pcm = littleEndian(this.block.subarray(0, this.filled));
        this.port.postMessage({ pcm }, [pcm.buffer]);
        this.filled = 0;
    }

    flush() {
        this.post();
        this.port.postMessage({ flushed: true });
    }

    finish() {
        if (this.finished) return;
        this.finished = true;
        this.resampler.flush((sample) => this.take(sample));
        this.post();
        this.port.postMessage({ done: true });
    }
}

/** @param {Float32Array[]} channels @returns {Float32Array} their mean */
function mixed(channels) {
    if (channels.length === 1) return channels[0];
    return channels[0].map((_, at) => channels.reduce((sum, channel) => sum + channel[at], 0) / channels.length);
}

/** The wire's byte order, whatever the machine's. @param {Int16Array} samples */
function littleEndian(samples) {
    const bytes = new DataView(new ArrayBuffer(2 * samples.length));
    samples.forEach((sample, at) => bytes.setInt16(2 * at, sample, true));
    return new Uint8Array(bytes.buffer);
}

registerProcessor('pcm', PCMProcessor);
