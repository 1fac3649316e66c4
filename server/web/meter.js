const BAR = 4; // pixels, with the gap
const QUIETEST = -60; // dB

/** The loudness of the last seconds as bars, those of speech in the page's accent. */
export class Meter {
    #canvas;
    /** @type {{height: number, isSpeech: boolean}[]} */
    #bars = [];

    /** @param {HTMLCanvasElement} canvas */
    constructor(canvas) {
        this.#canvas = canvas;
        this.clear();
    }

    /** @param {number} level RMS from 0 to 1 @param {boolean} isSpeech */
    push(level, isSpeech) {
        const height = Math.min(1, Math.max(0, 1 - (20 * Math.log10(level || 1e-6)) / QUIETEST));
        this.#bars.push({ height, isSpeech });
        this.#draw();
    }

    clear() {
        this.#bars = [];
        this.#draw();
    }

    #draw() {
        const canvas = this.#canvas;
        const scale = globalThis.devicePixelRatio ?? 1;
        const [width, height] = [canvas.clientWidth, canvas.clientHeight];
        const pixels = [width, height].map((size) => Math.round(size * scale));
        if (canvas.width !== pixels[0]) [canvas.width, canvas.height] = pixels;
        const style = getComputedStyle(canvas);
        const [speech, rest] = ['--accent', '--line'].map((name) => style.getPropertyValue(name));
        const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
        context.setTransform(scale, 0, 0, scale, 0, 0);
        context.clearRect(0, 0, width, height);
        const count = Math.floor(width / BAR);
        this.#bars.splice(0, Math.max(0, this.#bars.length - count));
        this.#bars.forEach((bar, at) => {
            context.fillStyle = bar.isSpeech ? speech : rest;
            const length = Math.max(2, bar.height * height);
            context.fillRect(width - (this.#bars.length - at) * BAR, (height - length) / 2, BAR - 1.5, length);
        });
    }
}
