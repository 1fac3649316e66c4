export type SessionConfig = {
    /**
     * BCP-47 tag, or `multi`
     */
    language: string;
    /**
     * `auto`, or the name of an engine
     */
    engine: string;
    model: string;
    encoding: 'auto' | 'linear16' | 'mulaw' | 'alaw';
    /**
     * Hz
     */
    sample_rate: number;
    channels: 1 | 2;
    interim_results: boolean;
    smart_format: boolean;
    punctuate: boolean;
    endpointing_ms: number | null;
    utterance_end_ms: number | null;
    keywords: string[];
    diarize: boolean;
    two_pass: boolean | null;
};
export type Word = {
    word: string;
    /**
     * seconds on the audio clock
     */
    start: number;
    end: number;
    /**
     * from 0 to 1
     */
    confidence?: number;
};
export type Interim = {
    text: string;
    is_partial?: boolean;
    /**
     * seconds on the audio clock
     */
    start: number;
    end: number;
    /**
     * from 0 to 1
     */
    confidence?: number;
    words?: Word[];
    language: string;
    engine: string;
};
export type Final = Interim & {
    through?: number;
    flushed?: number;
};
export type Transcript = {
    session_id: string;
    status: string;
    /**
     * why the session ended
     */
    reason?: string | null;
    text: string;
    segments: Final[];
    /**
     * seconds of recognised audio
     */
    duration: number;
};
export type Reopened = {
    /**
     * of the new one
     */
    sessionId: string;
    /**
     * id of the one that was lost
     */
    previous: string;
    /**
     * `session_not_found`, or the reason of its `session_end`
     */
    reason: string;
    /**
     * where the audio that is recognised again begins
     */
    fromSeconds: number;
};
export type Waiting = {
    code: string;
    seconds: number;
};
export type SessionEvents = {
    token: Interim;
    final: Final;
    speech_start: {
        start: number;
    };
    speech_end: {
        end: number;
        through?: number;
        flushed?: number;
    };
    error: {
        code: string;
        message: string;
        recoverable: boolean;
        engine?: string;
    };
    heartbeat: {
        status: string;
    };
    session_end: {
        reason: string;
    };
    /**
     * audio was taken or confirmed
     */
    progress: undefined;
    /**
     * whether the server can be reached
     */
    connection: {
        online: boolean;
    };
    /**
     * a new session is wanted, and the server has none yet
     */
    waiting: Waiting;
    reopened: Reopened;
    failed: import('./stt-wire.js').STTError;
};
/**
 * The fields of the server's `SessionConfig`. All may be left out when a session is opened.
 * @typedef {object} SessionConfig
 * @property {string} language BCP-47 tag, or `multi`
 * @property {string} engine `auto`, or the name of an engine
 * @property {string} model
 * @property {'auto' | 'linear16' | 'mulaw' | 'alaw'} encoding
 * @property {number} sample_rate Hz
 * @property {1 | 2} channels
 * @property {boolean} interim_results
 * @property {boolean} smart_format
 * @property {boolean} punctuate
 * @property {number | null} endpointing_ms
 * @property {number | null} utterance_end_ms
 * @property {string[]} keywords
 * @property {boolean} diarize
 * @property {boolean | null} two_pass
 */
/**
 * @typedef {object} Word
 * @property {string} word
 * @property {number} start seconds on the audio clock
 * @property {number} end
 * @property {number} [confidence] from 0 to 1
 */
/**
 * A `token`: what the recognizer believes now. It replaces the one before.
 * @typedef {object} Interim
 * @property {string} text
 * @property {boolean} [is_partial]
 * @property {number} start seconds on the audio clock
 * @property {number} end
 * @property {number} [confidence] from 0 to 1
 * @property {Word[]} [words]
 * @property {string} language
 * @property {string} engine
 */
/**
 * Text that will not change. `through`: this final and those before it account for all audio before that second;
 * `flushed`: it answers the flush at this byte.
 * @typedef {Interim & {through?: number, flushed?: number}} Final
 */
/**
 * @typedef {object} Transcript
 * @property {string} session_id
 * @property {string} status
 * @property {string | null} [reason] why the session ended
 * @property {string} text
 * @property {Final[]} segments
 * @property {number} duration seconds of recognised audio
 */
/**
 * A new session of the server has taken over.
 * @typedef {object} Reopened
 * @property {string} sessionId of the new one
 * @property {string} previous id of the one that was lost
 * @property {string} reason `session_not_found`, or the reason of its `session_end`
 * @property {number} fromSeconds where the audio that is recognised again begins
 */
/** @typedef {{code: string, seconds: number}} Waiting why, and how long until the next try */
/**
 * @typedef {object} SessionEvents
 * @property {Interim} token
 * @property {Final} final
 * @property {{start: number}} speech_start
 * @property {{end: number, through?: number, flushed?: number}} speech_end
 * @property {{code: string, message: string, recoverable: boolean, engine?: string}} error
 * @property {{status: string}} heartbeat
 * @property {{reason: string}} session_end
 * @property {undefined} progress audio was taken or confirmed
 * @property {{online: boolean}} connection whether the server can be reached
 * @property {Waiting} waiting a new session is wanted, and the server has none yet
 * @property {Reopened} reopened
 * @property {import('./stt-wire.js').STTError} failed
 */
/**
 * An event of a session that began so much later than the caller's audio.
 * @template {import('./stt-wire.js').JSONObject} Detail
 * @param {Detail} detail @param {number} seconds @param {number} bytes
 * @returns {Detail}
 */
export declare function shifted<Detail extends import('./stt-wire.js').JSONObject>(detail: Detail, seconds: number, bytes: number): Detail;
