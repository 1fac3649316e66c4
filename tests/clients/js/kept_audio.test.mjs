import assert from 'node:assert/strict';
import test from 'node:test';

import { KeptAudio } from '../../../server/web/kept-audio.js';

const PCM = { encoding: 'linear16', sample_rate: 16_000, channels: 1 };
const FILE = { encoding: 'auto', sample_rate: 16_000, channels: 1 };
const SECOND = new Uint8Array(32_000);

function kept(config, seconds, limit = 10 * 32_000) {
    const audio = new KeptAudio(0, config, limit);
    for (let n = 0; n < seconds; n++) audio.append(SECOND.map(() => n));
    return audio;
}

test('what a final accounts for is not held', () => {
    const audio = kept(PCM, 3);
    audio.confirm(96_000);
    audio.account(1.5);
    assert.equal(audio.unaccounted().seconds, 1.5);
    assert.equal(audio.unaccounted().audio.length, 48_000);
    assert.equal(audio.rewind(), 48_000);
    assert.equal(audio.confirmed, 48_000);
});

test('a final that comes late does not bring back what was accounted for', () => {
    const audio = kept(PCM, 3);
    audio.confirm(96_000);
    audio.account(2);
    audio.account(1);
    assert.equal(audio.unaccounted().seconds, 2);
});

test('a session goes on at a whole sample of both channels', () => {
    const audio = kept({ encoding: 'linear16', sample_rate: 44_100, channels: 2 }, 6);
    audio.confirm(audio.end);
    audio.account(0.333);
    assert.equal(audio.rewind() % 4, 0);
});

test('a long silence is not held for ever', () => {
    const audio = kept(PCM, 300);
    audio.confirm(audio.end);
    assert.equal(audio.unaccounted().audio.length, 120 * 32_000);
    assert.ok(audio.isReplayable);
});

test('a file is replayed from its beginning, as long as all of it is held', () => {
    const audio = kept(FILE, 3);
    audio.confirm(96_000);
    audio.account(2);
    assert.ok(audio.isReplayable);
    assert.equal(audio.isOwed, false); // who knows what the seconds are in bytes
    assert.equal(audio.rewind(), 0);
    assert.deepEqual(audio.read(64_000, 2), new Uint8Array([2, 2]));
});

test('a file that is longer than may be held cannot be replayed', () => {
    const audio = kept(FILE, 3, 2 * 32_000);
    assert.ok(audio.isReplayable); // nothing of it is confirmed yet
    audio.confirm(32_000);
    assert.equal(audio.isReplayable, false);
});

test('a session that was taken up in the middle has audio from there on', () => {
    const audio = new KeptAudio(64_000, PCM, 1e6);
    audio.append(SECOND);
    assert.deepEqual([audio.unaccounted().seconds, audio.rewind()], [2, 64_000]);
    assert.equal(new KeptAudio(64_000, FILE, 1e6).isReplayable, false);
});

test('a server cannot confirm what was never sent', () => {
    const audio = kept(PCM, 1);
    assert.ok(audio.confirm(16_000));
    for (const offset of [15_999, 32_001, 20_000.5, undefined]) assert.equal(audio.confirm(offset), false);
});
