// The text on the page: finals, the interim, and what can be downloaded of them.

import { text } from './texts.js';

const LEAST_SURE = 0.4; // the palest shade

export class Transcript {
    #page;
    #finals = [];
    #parts = [];

    /** @param {{scroll: Element, list: Element, interim: Element}} page */
    constructor(page) {
        this.#page = page;
    }

    get isEmpty() {
        return !this.#finals.length;
    }

    /** From here on it is `session` that speaks; its audio begins at `base` seconds of the whole. */
    begin(session, base) {
        this.#parts.push({ session, base });
        this.interim('');
    }

    interim(words) {
        this.#keepAtEnd(() => (this.#page.interim.textContent = words));
    }

    final(detail) {
        const { base } = this.#parts.at(-1);
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
        return FORMATS.txt(this.#finals);
    }

    /** The server cuts subtitles between words; what it has forgotten, or what is of several sessions, is made here. */
    async file(format) {
        const [only, ...more] = this.#parts;
        if (only?.session.online && !more.length && only.base === 0) {
            try {
                const told = await only.session.transcript(format === 'txt' ? 'text' : format);
                return format === 'json' ? JSON.stringify(told, null, 2) : told;
            } catch {
                // as below
            }
        }
        return FORMATS[format](this.#finals);
    }

    /** Follow the text, unless the reader has scrolled back. */
    #keepAtEnd(change) {
        const { scroll } = this.#page;
        const isAtEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
        change();
        if (isAtEnd) scroll.scrollTop = scroll.scrollHeight;
    }
}

const FORMATS = {
    txt: (finals) => finals.map((final) => `${final.text}\n`).join(''),
    srt: (finals) => finals.map((final, at) => `${at + 1}\n${span(final, ',')}\n${final.text}\n\n`).join(''),
    vtt: (finals) => `WEBVTT\n\n${finals.map((final) => `${span(final, '.')}\n${escaped(final.text)}\n\n`).join('')}`,
    json: (finals) => JSON.stringify({ text: finals.map((final) => final.text).join(' '), segments: finals }, null, 2),
};

function span({ start, end }, point) {
    return `${clock(start, point)} --> ${clock(end, point)}`;
}

function clock(seconds, point) {
    return new Date(Math.round(seconds * 1000)).toISOString().slice(11, 23).replace('.', point);
}

function escaped(words) {
    return words.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}

/** @param {number} seconds @returns {string} as a clock shows them */
export function minutes(seconds) {
    const whole = Math.floor(seconds);
    const pad = (number) => String(number).padStart(2, '0');
    const rest = `${whole >= 3600 ? pad(Math.floor(whole / 60) % 60) : Math.floor(whole / 60)}:${pad(whole % 60)}`;
    return whole >= 3600 ? `${Math.floor(whole / 3600)}:${rest}` : rest;
}

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

/** The text in shades of how sure the engine is: of each word if the words are found in the text, else of the whole. */
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

function shade(words, confidence) {
    if (!confidence) return words;
    const span = document.createElement('span');
    span.className = 'sure';
    span.style.setProperty('--sure', Math.max(0, (confidence - LEAST_SURE) / (1 - LEAST_SURE)).toFixed(2));
    span.textContent = words;
    return span;
}
