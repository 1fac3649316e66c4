import { Emitter, STTError } from './stt-wire.js';
export type Phase = 'starting' | 'running' | 'finishing' | 'over';
export type RecordingEvents = {
    /**
     * it is open: the time to listen to its events
     */
    session: import('./stt-session.js').STTSession;
    phase: Phase;
    /**
     * the server has no place yet; what is said meanwhile is kept
     */
    waiting: import('./stt-events.js').Waiting;
    /**
     * RMS from 0 to 1
     */
    level: number;
    /**
     * the microphone is gone
     */
    unplugged: undefined;
    /**
     * the session takes no more audio
     */
    refused: STTError;
};
/** @typedef {'starting' | 'running' | 'finishing' | 'over'} Phase */
/**
 * @typedef {object} RecordingEvents
 * @property {import('./stt-session.js').STTSession} session it is open: the time to listen to its events
 * @property {Phase} phase
 * @property {import('./stt-events.js').Waiting} waiting the server has no place yet; what is said meanwhile is kept
 * @property {number} level RMS from 0 to 1
 * @property {undefined} unplugged the microphone is gone
 * @property {STTError} refused the session takes no more audio
 */
/**
 * From the press of a button to the next: the microphone, and a session that its audio goes to.
 * @extends {Emitter<RecordingEvents>}
 */
export declare class Recording extends Emitter<RecordingEvents> {
    #private;
    /** @type {import('./stt-session.js').STTSession | null} */
    session: import('./stt-session.js').STTSession | null;
    /** @type {Phase} */
    phase: Phase;
    /** Whether what the microphone hears is left out. */
    isMuted: boolean;
    /**
     * @param {import('./stt-client.js').STTClient} client
     * @param {Partial<import('./stt-events.js').SessionConfig>} config
     */
    constructor(client: import('./stt-client.js').STTClient, config: Partial<import('./stt-events.js').SessionConfig>);
    /** Seconds of audio that were taken. */
    get seconds(): number;
    /** Whether `cancel` was called. */
    get isCancelled(): boolean;
    /** Ask for the microphone, then for a session. Call it from a click. Raises `STTError`: it is over then. */
    open(): Promise<void>;
    /** Leave out what is said from now on. What was said before has been sent when it returns. */
    mute(): Promise<void>;
    /** Take again what is said. */
    unmute(): void;
    /** The final of what was said so far, now. @returns {Promise<string | null>} its text; null where nothing was said */
    flush(): Promise<string | null>;
    /**
     * Stop, and return the transcript. Raises what made the session fail; after `resume` it can be called again.
     * @returns {Promise<import('./stt-events.js').Transcript>}
     */
    finish(): Promise<import('./stt-events.js').Transcript>;
    /** Stop at once. What the server has recognised stays there. */
    leave(): Promise<void>;
    /** Stop at once, and have the server forget it. */
    cancel(): Promise<void>;
}
