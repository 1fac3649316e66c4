export type Final = import('./stt-events.js').Final;
/** @typedef {import('./stt-events.js').Final} Final */
/** @param {Final[]} finals @returns {string} all text in one line */
export declare function joined(finals: Final[]): string;
/**
 * @param {import('./stt-events.js').Transcript} transcript @param {'json' | 'text' | 'srt' | 'vtt'} format
 * @returns {import('./stt-events.js').Transcript | string} an object for `json`, else text
 */
export declare function formatted(transcript: import('./stt-events.js').Transcript, format: 'json' | 'text' | 'srt' | 'vtt'): import('./stt-events.js').Transcript | string;
/** @param {Final[]} finals @returns {string} one line for each */
export declare function toText(finals: Final[]): string;
/** @param {Final[]} finals */
export declare function toSRT(finals: Final[]): string;
/** @param {Final[]} finals */
export declare function toVTT(finals: Final[]): string;
