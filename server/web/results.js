import { shifted } from './stt-events.js';
import { joined } from './transcript-formats.js';

const SAME_TIME_SECONDS = 0.005; // the wire rounds to milliseconds

/** @typedef {import('./stt-wire.js').JSONObject} JSONObject */
/** @typedef {import('./stt-events.js').Final} Final */
/** @typedef {import('./stt-events.js').Transcript} Transcript */

/** What was recognised, over as many sessions of the server as it took, on the one clock of the caller. */
export class Results {
    /** By how much the session of the server began later than the caller's audio. */
    #behind = { seconds: 0, bytes: 0 };
    /** Number of finals that the server's session has told. */
    #told;
    /** Finals of the sessions that were lost. @type {Final[]} */
    #earlier = [];
    /** @type {Final[]} */
    #finals = [];
    /** Seconds up to which a lost session has told everything. */
    #repeatedUntil = 0;

    /** @param {boolean} isFromStart false: there may have been finals that were not told here */
    constructor(isFromStart) {
        this.#told = isFromStart ? 0 : Infinity;
    }

    /** Whether more than one session of the server was needed. */
    get isPatched() {
        return this.#behind.bytes > 0 || this.#repeatedUntil > 0;
    }

    /**
     * Another session takes over.
     * @param {{seconds: number, bytes: number}} behind where it begins
     * @param {number} through seconds that the finals so far account for
     */
    goOn(behind, through) {
        this.#behind = behind;
        this.#earlier = [...this.#finals];
        this.#repeatedUntil = through;
        this.#told = 0;
    }

    /** The event on the caller's clock. @param {JSONObject} said @returns {JSONObject} */
    moved(said) {
        return shifted(said, this.#behind.seconds, this.#behind.bytes);
    }

    /** @param {string} type @param {JSONObject} detail as `moved` gives it @returns {boolean} false: it was told before */
    take(type, detail) {
        if (type === 'final') this.#told++;
        if (this.#isRepeated(detail)) return false;
        if (type === 'final') this.#finals.push(/** @type {Final} */ (detail));
        return true;
    }

    /** The finals of a transcript that were not told by events. @param {JSONObject} document @returns {Final[]} */
    untold(document) {
        return document.segments.slice(this.#told);
    }

    /** The server's transcript with what the sessions before have recognised. @param {JSONObject} document @returns {Transcript} */
    whole(document) {
        if (!this.isPatched) return /** @type {Transcript} */ (document);
        const moved = document.segments.map((/** @type {Final} */ each) => this.moved(each));
        const segments = [...this.#earlier, ...moved.filter((/** @type {Final} */ each) => !this.#isRepeated(each))];
        const duration = document.duration + this.#behind.seconds;
        return { .../** @type {Transcript} */ (document), segments, duration, text: joined(segments) };
    }

    /** Where the server stands. @param {JSONObject} document @returns {JSONObject} */
    state({ offset = 0, recognized_seconds: recognized = 0, ...document }) {
        const { seconds, bytes } = this.#behind;
        return { ...document, offset: offset + bytes, recognized_seconds: recognized + seconds };
    }

    /**
     * The transcript of a session that is no more, after everything was recognised.
     * @param {string} id @param {string} reason @param {number} duration
     * @returns {Transcript}
     */
    last(id, reason, duration) {
        const segments = [...this.#finals];
        return { session_id: id, status: 'ended', reason, text: joined(segments), segments, duration };
    }

    /** Of a container everything is recognised again. @param {JSONObject} detail */
    #isRepeated({ start = Infinity, end = start }) {
        return end <= this.#repeatedUntil + SAME_TIME_SECONDS && this.#repeatedUntil > 0;
    }
}
