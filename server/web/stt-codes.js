// What a client does about each code of the server: the same table as the Python client's.

/**
 * - `retry`: the same request again, after Retry-After and a backoff, until the give-up time
 * - `wait`: like `retry`, but it is no failure: the give-up time starts anew
 * - `resume`: go on at the `offset` of the answer
 * - `reopen`: open a new session with the audio that is still held
 * - `give_up`: tell the caller
 * - `done`: nothing is left to do
 * @typedef {'retry' | 'wait' | 'resume' | 'reopen' | 'give_up' | 'done'} Action
 */

/**
 * `answers`: codes of refused requests, and `server_away` for no answer or one that is not the service's.
 * `reasons`: why a session ended, as its `session_end` event tells.
 * @type {{answers: Record<string, Action>, reasons: Record<string, Action>}}
 */
export const CODES = {
    answers: {
        invalid_request: 'give_up',
        invalid_json: 'give_up',
        body_too_large: 'give_up',
        unsupported_media_type: 'give_up',
        method_not_allowed: 'give_up',
        not_found: 'give_up',
        invalid_event_id: 'give_up',
        session_not_found: 'reopen',
        session_ended: 'give_up', // unless the reason says otherwise
        offset_mismatch: 'resume',
        upload_timeout: 'resume',
        backlog_full: 'wait',
        too_many_sessions: 'retry',
        draining: 'retry',
        log_unavailable: 'retry',
        internal_error: 'retry',
        server_away: 'retry',
    },
    reasons: {
        finished: 'done',
        server_shutdown: 'reopen',
        idle_timeout: 'reopen',
        max_duration: 'reopen',
        purged: 'give_up',
        engine_failed: 'give_up',
        undecodable_audio: 'give_up',
        internal_error: 'give_up',
    },
};

const PASSING_STATUSES = new Set([408, 429, 500, 502, 503, 504]);

/**
 * What to do about a refusal; a code that is newer than this table is judged by its status.
 * @param {string} code @param {number} [status]
 * @returns {Action}
 */
export function actionOnAnswer(code, status = 0) {
    return CODES.answers[code] ?? (PASSING_STATUSES.has(status) ? 'retry' : 'give_up');
}

/** What to do when a session has ended. @param {string} reason @returns {Action} */
export function actionOnEnd(reason) {
    return CODES.reasons[reason] ?? 'give_up';
}
