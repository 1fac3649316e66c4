/** @param {Blob} blob @returns {Promise<Blob>} the same audio, readable from its beginning; any other file as it is */
export declare function indexFirst(blob: Blob): Promise<Blob>;
