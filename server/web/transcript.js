// The text on the page: finals, the interim, and what can be downloaded of them.

import { text } from './texts.js';
import { joined, toSRT, toText, toVTT } from './transcript-formats.js';

const LEAST_SURE = 0.4; // the palest shade

/** @typedef {import('./stt-events.js').Final} Final */

export class Transcript {
    #page;
    /** @type {Final[]} */
    #finals = [];
    /** @type {{session: import('./stt-session.js').STTSession, base: number}[]} */
    #parts = [];

    /** @param {{scroll: HTMLElement, list: HTMLElement, interim: HTMLElement}} page */
    constructor(page) {
        this.#page = page;
    }

    get isEmpty() {
        return !this.#finals.length;
    }

    /**
     * From here on it is `session` that speaks.
     * @param {import('./stt-session.js').STTSession} session @param {number} base seconds of the whole at which it begins
     */
    begin(session, base) {
        this.#parts.push({ session, base });
        this.interim('');
    }

    /** @param {string} words */
    interim(words) {
        this.#keepAtEnd(() => (this.#page.interim.textContent = words));
    }

    /** @param {Final} detail */
    final(detail) {
        const base = this.#parts.at(-1)?.base ?? 0;
        const final = { ...detail, start: base + detail.start, end: base + detail.end };
        this.#finals.push(final);
        this.#keepAtEnd(() => {
            this.#page.interim.textContent = '';
            this.#page.list.append(item(final));
        });
    }

    clear() {
        this.#finals = [];
        this.#parts = [];
        this.#page.list.replaceChildren();
        this.#page.interim.textContent = '';
    }

    /** Whether an engine has told how sure it is. */
    get hasConfidence() {
        return this.#finals.some(({ confidence }) => confidence);
    }

    text() {
        return toText(this.#finals);
    }

    /**
     * The server cuts subtitles between words; what it has forgotten, or what is of several recordings, is made here.
     * @param {'txt' | 'srt' | 'vtt' | 'json'} format @returns {Promise<string>}
     */
    async file(format) {
        const [only, ...more] = this.#parts;
        if (only?.session.online && !more.length && only.base === 0) {
            try {
                const told = await only.session.transcript(format === 'txt' ? 'text' : format);
                return typeof told === 'string' ? told : JSON.stringify(told, null, 2);
            } catch {
                // as below
            }
        }
        const made = { txt: toText, srt: toSRT, vtt: toVTT, json: toJSON };
        return made[format](this.#finals);
    }

    /** Follow the text, unless the reader has scrolled back. @param {() => void} change */
    #keepAtEnd(change) {
        const { scroll } = this.#page;
        const isAtEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
        change();
        if (isAtEnd) scroll.scrollTop = scroll.scrollHeight;
    }
}

/** @param {Final[]} finals */
function toJSON(finals) {
    return JSON.stringify({ text: joined(finals), segments: finals }, null, 2);
}

/** @param {number} seconds @returns {string} as a clock shows them */
export function minutes(seconds) {
    const whole = Math.floor(seconds);
    const pad = (/** @type {number} */ number) => String(number).padStart(2, '0');
    const rest = `${whole >= 3600 ? pad(Math.floor(whole / 60) % 60) : Math.floor(whole / 60)}:${pad(whole % 60)}`;
    return whole >= 3600 ? `${Math.floor(whole / 3600)}:${rest}` : rest;
}

/** @param {Final} final */
function item(final) {
    const time = document.createElement('time');
    time.textContent = minutes(final.start);
    const words = document.createElement('p');
    words.lang = final.language ?? '';
    words.append(...shaded(final));
    if (final.confidence) words.title = text('confidence', { percent: Math.round(final.confidence * 100) });
    const row = document.createElement('li');
    row.append(time, words);
    return row;
}

/** The text in shades of how sure the engine is: of each word if the words are found in the text, else of the whole. @param {Final} final */
function shaded(final) {
    const parts = [];
    let at = 0;
    for (const { word, confidence } of final.words ?? []) {
        const found = final.text.indexOf(word, at);
        if (found < 0) return [shade(final.text, final.confidence)];
        parts.push(shade(final.text.slice(at, found)), shade(word, confidence));
        at = found + word.length;
    }
    return at ? [...parts, shade(final.text.slice(at))] : [shade(final.text, final.confidence)];
}

/** @param {string} words @param {number} [confidence] */
function shade(words, confidence) {
    if (!confidence) return words;
    const span = document.createElement('span');
    span.className = 'sure';
    span.style.setProperty('--sure', Math.max(0, (confidence - LEAST_SURE) / (1 - LEAST_SURE)).toFixed(2));
    span.textContent = words;
    return span;
}
