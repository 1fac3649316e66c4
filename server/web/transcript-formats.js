// Transcripts from finals, where the server has none: of what went over several sessions.

const WITHOUT_SPACES = new Set(['ja', 'lo', 'my', 'th', 'yue', 'zh']);

/** @typedef {import('./stt-events.js').Final} Final */

/** @param {Final[]} finals @returns {string} all text in one line */
export function joined(finals) {
    return finals.reduce((text, final) => text && final.text ? text + space(final.language) + final.text : text + final.text, '');
}

/** What stands between two sentences of a language. @param {string} tag */
function space(tag = '') {
    return WITHOUT_SPACES.has(tag.split('-')[0].toLowerCase()) ? '' : ' ';
}

/**
 * @param {import('./stt-events.js').Transcript} transcript @param {'json' | 'text' | 'srt' | 'vtt'} format
 * @returns {import('./stt-events.js').Transcript | string} an object for `json`, else text
 */
export function formatted(transcript, format) {
    if (format === 'json') return transcript;
    return { text: toText, srt: toSRT, vtt: toVTT }[format](transcript.segments);
}

/** @param {Final[]} finals @returns {string} one line for each */
export function toText(finals) {
    return finals.map((final) => `${final.text}\n`).join('');
}

/** @param {Final[]} finals */
export function toSRT(finals) {
    return finals.map((final, at) => `${at + 1}\n${span(final, ',')}\n${final.text}\n\n`).join('');
}

/** @param {Final[]} finals */
export function toVTT(finals) {
    return `WEBVTT\n\n${finals.map((final) => `${span(final, '.')}\n${escaped(final.text)}\n\n`).join('')}`;
}

/** @param {Final} final @param {string} point */
function span({ start, end }, point) {
    return `${clock(start, point)} --> ${clock(end, point)}`;
}

/** @param {number} seconds @param {string} point */
function clock(seconds, point) {
    return new Date(Math.round(seconds * 1000)).toISOString().slice(11, 23).replace('.', point);
}

/** WebVTT has tags: these three letters must not begin one. @param {string} words */
function escaped(words) {
    return words.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}
