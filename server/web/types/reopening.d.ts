/** Opens another session of the server in place of one that is lost, as often as that makes sense. */
export declare class Reopening {
    #private;
    /** @param {import('./stt-client.js').STTClient} client @param {(waiting: import('./stt-events.js').Waiting) => void} onWaiting */
    constructor(client: import('./stt-client.js').STTClient, onWaiting: (waiting: import('./stt-events.js').Waiting) => void);
    /** A final has come, or a person wants another try: the count begins anew. */
    reset(): void;
    /** Do not wait before the next try. */
    hurry(): void;
    /**
     * Raises `session_lost` where another session could not go on, and what `STTClient.createSession` raises.
     * @param {import('./stt-events.js').SessionConfig} config
     * @param {import('./kept-audio.js').KeptAudio} audio what is held
     * @param {string} reason why the one before was lost
     * @param {AbortSignal} signal
     */
    open(config: import('./stt-events.js').SessionConfig, audio: import('./kept-audio.js').KeptAudio, reason: string, signal: AbortSignal): Promise<import("./stt-wire.js").JSONObject>;
}
