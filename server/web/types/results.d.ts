export type JSONObject = import('./stt-wire.js').JSONObject;
export type Final = import('./stt-events.js').Final;
export type Transcript = import('./stt-events.js').Transcript;
/** @typedef {import('./stt-wire.js').JSONObject} JSONObject */
/** @typedef {import('./stt-events.js').Final} Final */
/** @typedef {import('./stt-events.js').Transcript} Transcript */
/** What was recognised, over as many sessions of the server as it took, on the one clock of the caller. */
export declare class Results {
    #private;
    /** @param {boolean} isFromStart false: there may have been finals that were not told here */
    constructor(isFromStart: boolean);
    /** Whether more than one session of the server was needed. */
    get isPatched(): boolean;
    /**
     * Another session takes over.
     * @param {{seconds: number, bytes: number}} behind where it begins
     * @param {number} through seconds that the finals so far account for
     */
    goOn(behind: {
        seconds: number;
        bytes: number;
    }, through: number): void;
    /** The event on the caller's clock. @param {JSONObject} said @returns {JSONObject} */
    moved(said: JSONObject): JSONObject;
    /** @param {string} type @param {JSONObject} detail as `moved` gives it @returns {boolean} false: it was told before */
    take(type: string, detail: JSONObject): boolean;
    /** The finals of a transcript that were not told by events. @param {JSONObject} document @returns {Final[]} */
    untold(document: JSONObject): Final[];
    /** The server's transcript with what the sessions before have recognised. @param {JSONObject} document @returns {Transcript} */
    whole(document: JSONObject): Transcript;
    /** Where the server stands. @param {JSONObject} document @returns {JSONObject} */
    state({ offset, recognized_seconds: recognized, ...document }: JSONObject): JSONObject;
    /**
     * The transcript of a session that is no more, after everything was recognised.
     * @param {string} id @param {string} reason @param {number} duration
     * @returns {Transcript}
     */
    last(id: string, reason: string, duration: number): Transcript;
}
