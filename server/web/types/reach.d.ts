/** Whether the server can be reached, on each of the ways to it. */
export declare class Reach {
    #private;
    /** @param {(online: boolean) => void} onChange */
    constructor(onChange: (online: boolean) => void);
    get online(): boolean;
    /** @param {'upload' | 'stream' | 'session'} way `session`: whether the server has one */
    isAway(way: 'upload' | 'stream' | 'session'): boolean;
    /** @param {'upload' | 'stream' | 'session'} way @param {boolean} reached @returns {boolean} whether it is back */
    note(way: 'upload' | 'stream' | 'session', reached: boolean): boolean;
}
