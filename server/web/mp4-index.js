// Most cameras and phones write the index of an MP4 (`moov`) behind its audio, where a server that decodes as it receives
// comes to it too late. Here it is put first. Only the index is read; the rest stays where it is.

const LARGEST_INDEX = 64 * 2 ** 20;
const WAY_TO_OFFSETS = new Set(['trak', 'mdia', 'minf', 'stbl']);

/** @param {Blob} blob @returns {Promise<Blob>} the same audio, readable from its beginning; any other file as it is */
export async function indexFirst(blob) {
    const boxes = await boxesOf(blob);
    const audio = boxes.find(({ name }) => name === 'mdat');
    const index = boxes.find(({ name }) => name === 'moov');
    if (!audio || !index || index.start < audio.start || index.end - index.start > LARGEST_INDEX) return blob;
    const moov = new DataView(await blob.slice(index.start, index.end).arrayBuffer());
    if (!moveOffsets(moov, 8, moov.byteLength, index.start)) return blob;
    return new Blob([blob.slice(0, audio.start), moov, blob.slice(audio.start, index.start), blob.slice(index.end)]);
}

/** The boxes of an MP4 up to its index; none of any other file. @param {Blob} blob */
async function boxesOf(blob) {
    const boxes = [];
    for (let start = 0; start < blob.size && boxes.at(-1)?.name !== 'moov'; start = boxes.at(-1)?.end ?? blob.size) {
        const box = boxAt(new DataView(await blob.slice(start, start + 16).arrayBuffer()), 0);
        if (!box || (!start && box.name !== 'ftyp') || start + box.size > blob.size) return [];
        boxes.push({ name: box.name, start, end: start + box.size });
    }
    return boxes;
}

/** @param {DataView} view @param {number} at @returns {{name: string, size: number} | null} null: there is none of a known size */
function boxAt(view, at) {
    if (at + 8 > view.byteLength) return null;
    const name = String.fromCharCode(...[4, 5, 6, 7].map((byte) => view.getUint8(at + byte)));
    const size = view.getUint32(at);
    if (size !== 1) return size < 8 ? null : { name, size };
    return at + 16 > view.byteLength ? null : { name, size: Number(view.getBigUint64(at + 8)) };
}

/**
 * Add the length of the index to each offset of what it is put before.
 * @param {DataView} moov @param {number} from @param {number} until @param {number} end of what it is put before
 * @returns {boolean} false: one can't be so large
 */
function moveOffsets(moov, from, until, end) {
    for (let at = from, box = boxAt(moov, at); box && at + box.size <= until; at += box.size, box = boxAt(moov, at)) {
        const isMoved =
            box.name === 'stco' || box.name === 'co64'
                ? moveTable(moov, at, box, end)
                : !WAY_TO_OFFSETS.has(box.name) || moveOffsets(moov, at + 8, at + box.size, end);
        if (!isMoved) return false;
    }
    return true;
}

/** @param {DataView} moov @param {number} at @param {{name: string, size: number}} table @param {number} end */
function moveTable(moov, at, { name, size }, end) {
    const width = name === 'stco' ? 4 : 8;
    const count = Math.min(moov.getUint32(at + 12), Math.floor((size - 16) / width));
    for (let entry = at + 16; entry < at + 16 + count * width; entry += width) {
        const offset = width === 4 ? moov.getUint32(entry) : Number(moov.getBigUint64(entry));
        const moved = offset < end ? offset + moov.byteLength : offset;
        if (width === 4 && moved >= 2 ** 32) return false;
        if (width === 4) moov.setUint32(entry, moved);
        else moov.setBigUint64(entry, BigInt(moved));
    }
    return true;
}
