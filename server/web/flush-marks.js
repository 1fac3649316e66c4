/**
 * @typedef {object} Mark
 * @property {number} offset bytes before it are what is flushed
 * @property {boolean} isAsked
 * @property {Promise<string | null>} answer
 * @property {(text: string | null) => void} resolve
 * @property {(error: unknown) => void} reject
 */

/** The flushes that have no answer yet, in the order of their offsets. */
export class FlushMarks {
    /** @type {Mark[]} */
    #marks = [];
    /** @type {{offset: number, text: string | null}} */
    #answered = { offset: -1, text: null };

    /** @param {number} offset @returns {Promise<string | null>} the text of the final that answers; null: nothing was said */
    add(offset) {
        // flushes at one place are one, with one answer
        if (offset <= this.#answered.offset) return Promise.resolve(this.#answered.text);
        const newest = this.#marks.at(-1);
        if (newest?.offset === offset) return newest.answer;
        const { promise, ...decide } = withResolvers();
        this.#marks.push({ offset, isAsked: false, answer: promise, ...decide });
        return promise;
    }

    /** The next mark that the server has to be asked for. */
    get next() {
        return this.#marks.find((mark) => !mark.isAsked);
    }

    /** An event that answers the flush at `offset`. @param {number} offset @param {string | null} text */
    answer(offset, text) {
        this.#answered = { offset, text };
        for (const mark of this.#take((each) => each.offset <= offset)) mark.resolve(text);
    }

    /** The server will not answer this one. @param {Mark} mark @param {unknown} error */
    refuse(mark, error) {
        for (const each of this.#take((other) => other === mark)) each.reject(error);
    }

    /** A new session knows none of them. @param {number} offset of its first byte: what is before has been answered */
    askAgain(offset) {
        for (const mark of this.#take((each) => each.offset <= offset)) mark.resolve(null);
        for (const mark of this.#marks) mark.isAsked = false;
    }

    /** No answer comes any more. @param {unknown} error null: because the session has ended well */
    end(error) {
        for (const mark of this.#take(() => true)) error ? mark.reject(error) : mark.resolve(null);
    }

    /** @param {(mark: Mark) => boolean} wanted */
    #take(wanted) {
        const taken = this.#marks.filter(wanted);
        this.#marks = this.#marks.filter((mark) => !taken.includes(mark));
        return taken;
    }
}

/** `Promise.withResolvers`, which browsers have since 2024 only. */
function withResolvers() {
    /** @type {(text: string | null) => void} */
    let resolve = () => {};
    /** @type {(error: unknown) => void} */
    let reject = () => {};
    /** @type {Promise<string | null>} */
    const promise = new Promise((...decide) => ([resolve, reject] = decide));
    return { promise, resolve, reject };
}
