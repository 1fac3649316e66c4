import assert from 'node:assert/strict';
import test from 'node:test';

import { indexFirst } from '../../../server/web/mp4-index.js';

const box = (name, ...content) => {
    const body = Buffer.concat(content);
    const head = Buffer.alloc(8);
    head.writeUInt32BE(8 + body.length);
    head.write(name, 4, 'latin1');
    return Buffer.concat([head, body]);
};
const numbers = (...values) => Buffer.concat(values.map((value) => Buffer.from([0, 0, value >> 8, value & 255])));

const TYPE = box('ftyp', Buffer.from('isom'));
const SOUND = box('mdat', Buffer.from('sound'));
const index = (...offsets) => {
    const table = box('stco', numbers(0, offsets.length, ...offsets));
    return box('moov', box('trak', box('mdia', box('minf', box('stbl', table)))));
};
const FILE = Buffer.concat([TYPE, SOUND, index(20, 22)]);

async function reordered(bytes) {
    return Buffer.from(await (await indexFirst(new Blob([bytes]))).arrayBuffer());
}

test('an index that comes last is put first, with its offsets moved', async () => {
    const length = index(0, 0).length;
    assert.deepEqual(await reordered(FILE), Buffer.concat([TYPE, index(20 + length, 22 + length), SOUND]));
});

test('a file in order, one of another kind, and a damaged one stay as they are', async () => {
    const inOrder = Buffer.concat([TYPE, index(20), SOUND]);
    const others = [inOrder, Buffer.from('RIFF....WAVE'), FILE.subarray(0, 30), FILE.subarray(0, -4), Buffer.of()];
    others.push(Buffer.from(FILE).fill(0, 12, 16), Buffer.from(FILE).fill(255, 12, 16));
    for (const bytes of others) {
        const blob = new Blob([bytes]);
        assert.equal(await indexFirst(blob), blob);
    }
});
