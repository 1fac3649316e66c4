/** Whether the server can be reached, on each of the ways to it. */
export class Reach {
    /** @type {Set<'upload' | 'stream' | 'session'>} */
    #away = new Set();
    #onChange;

    /** @param {(online: boolean) => void} onChange */
    constructor(onChange) {
        this.#onChange = onChange;
    }

    get online() {
        return this.#away.size === 0;
    }

    /** @param {'upload' | 'stream' | 'session'} way `session`: whether the server has one */
    isAway(way) {
        return this.#away.has(way);
    }

    /** @param {'upload' | 'stream' | 'session'} way @param {boolean} reached @returns {boolean} whether it is back */
    note(way, reached) {
        const before = this.online;
        const isBack = reached && this.#away.delete(way);
        if (!reached) this.#away.add(way);
        if (this.online !== before) this.#onChange(this.online);
        return isBack;
    }
}
