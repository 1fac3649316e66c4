/**
 * @typedef {object} Mark
 * @property {number} offset bytes before it are what is flushed
 * @property {boolean} isAsked
 * @property {Promise<string | null>} answer
 * @property {(text: string | null) => void} resolve
 * @property {(error: unknown) => void} reject
 */
export type Mark = {
    /**
     * bytes before it are what is flushed
     */
    offset: number;
    isAsked: boolean;
    answer: Promise<string | null>;
    resolve: (text: string | null) => void;
    reject: (error: unknown) => void;
};
/** The flushes that have no answer yet, in the order of their offsets. */
export declare class FlushMarks {
    #private;
    /** @param {number} offset @returns {Promise<string | null>} the text of the final that answers; null: nothing was said */
    add(offset: number): Promise<string | null>;
    /** The next mark that the server has to be asked for. */
    get next(): Mark | undefined;
    /** An event that answers the flush at `offset`. @param {number} offset @param {string | null} text */
    answer(offset: number, text: string | null): void;
    /** The server will not answer this one. @param {Mark} mark @param {unknown} error */
    refuse(mark: Mark, error: unknown): void;
    /** A new session knows none of them. @param {number} offset of its first byte: what is before has been answered */
    askAgain(offset: number): void;
    /** No answer comes any more. @param {unknown} error null: because the session has ended well */
    end(error: unknown): void;
}
