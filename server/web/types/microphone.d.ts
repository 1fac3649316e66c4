import { Emitter } from './stt-wire.js';
export type MicrophoneEvents = {
    /**
     * 150 ms of PCM16
     */
    pcm: Uint8Array;
    /**
     * RMS from 0 to 1, every 50 ms
     */
    level: number;
    /**
     * it was unplugged, or the permission was taken back
     */
    ended: undefined;
    /**
     * the audio thread has answered `flush`
     */
    flushed: true;
    /**
     * the audio thread has ended
     */
    done: true;
};
/**
 * @typedef {object} MicrophoneEvents
 * @property {Uint8Array} pcm 150 ms of PCM16
 * @property {number} level RMS from 0 to 1, every 50 ms
 * @property {undefined} ended it was unplugged, or the permission was taken back
 * @property {true} flushed the audio thread has answered `flush`
 * @property {true} done the audio thread has ended
 */
/**
 * PCM16 at 16 kHz from the microphone, whatever rate it has.
 * @extends {Emitter<MicrophoneEvents>}
 */
export declare class Microphone extends Emitter<MicrophoneEvents> {
    #private;
    /**
     * The fields of a session's configuration that say what a microphone sends.
     * @type {Readonly<{encoding: 'linear16', sample_rate: number, channels: 1}>}
     */
    static FORMAT: Readonly<{
        encoding: 'linear16';
        sample_rate: number;
        channels: 1;
    }>;
    /**
     * Ask for the microphone. Call it from a click: browsers start no audio otherwise. Raises `STTError`.
     * @param {object} [options]
     * @param {MediaTrackConstraints} [options.constraints] `deviceId`, the browser's own processing, …
     * @param {string | URL} [options.workletUrl] where pcm-worklet.js is, if it is not beside this file
     * @returns {Promise<Microphone>}
     */
    static open({ constraints, workletUrl }?: {
        constraints?: MediaTrackConstraints;
        workletUrl?: string | URL;
    }): Promise<Microphone>;
    /** Use `Microphone.open`. @param {AudioContext} context @param {MediaStream} stream */
    constructor(context: AudioContext, stream: MediaStream);
    /** Give what was heard so far without waiting for a whole block: its `pcm` has been dispatched when it returns. */
    flush(): Promise<void>;
    /** Stop. The last `pcm` has been dispatched when it returns. */
    close(): Promise<void>;
}
