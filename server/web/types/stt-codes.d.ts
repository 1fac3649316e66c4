export type Action = 'retry' | 'wait' | 'resume' | 'reopen' | 'give_up' | 'done';
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
export declare const CODES: {
    answers: Record<string, Action>;
    reasons: Record<string, Action>;
};
/**
 * What to do about a refusal; a code that is newer than this table is judged by its status.
 * @param {string} code @param {number} [status]
 * @returns {Action}
 */
export declare function actionOnAnswer(code: string, status?: number): Action;
/** What to do when a session has ended. @param {string} reason @returns {Action} */
export declare function actionOnEnd(reason: string): Action;
