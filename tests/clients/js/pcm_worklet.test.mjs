import assert from 'node:assert/strict';
import test from 'node:test';

import { seeded } from '../../support/js_sessions.mjs';

/** pcm-worklet.js with what the audio thread of a browser has; it registers its processor once. */
const registered = {};
Object.assign(globalThis, {
    sampleRate: 48_000,
    AudioWorkletProcessor: class {
        port = {};
    },
    registerProcessor: (name, processor) => (registered[name] = processor),
});
const { Resampler } = await import('../../../server/web/pcm-worklet.js');

test('a tone keeps its height and its loudness at every rate', () => {
    for (const rate of [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]) {
        const heard = resampled(rate, tone(rate, 1_000));
        assert.equal(heard.length, 16_000);
        const middle = [...heard.keys()].slice(200, -200);
        const wanted = tone(16_000, 1_000);
        const error = Math.max(...middle.map((at) => Math.abs(heard[at] - wanted[at])));
        assert.ok(error < 0.002, `${rate} Hz: ${error}`);
    }
});

test('what 16 kHz cannot carry is filtered out', () => {
    for (const height of [8_200, 9_000, 15_000, 16_000, 20_000]) {
        const heard = resampled(48_000, tone(48_000, height)).slice(200, -200);
        assert.ok(Math.max(...heard.map(Math.abs)) < 0.002, `${height} Hz is heard`);
    }
});

test('how the audio is cut into blocks makes no difference', () => {
    const random = seeded(11);
    const noise = Float32Array.from({ length: 30_000 }, () => random() * 2 - 1);
    const whole = resampled(44_100, noise);
    const resampler = new Resampler(44_100, 16_000);
    const parts = [];
    for (let at = 0; at < noise.length; at += 128) {
        resampler.process(noise.subarray(at, at + 128), (sample) => parts.push(sample));
    }
    resampler.flush((sample) => parts.push(sample));
    assert.deepEqual(parts, whole);
});

test('the microphone gives blocks of PCM16, levels, and the rest at the end', () => {
    const said = [];
    const thread = new registered.pcm({ processorOptions: { rate: 16_000, blockSamples: 2_400, levelSeconds: 0.05 } });
    thread.port.postMessage = (message) => said.push(message);
    const loud = new Float32Array(128).fill(1.5);
    for (let at = 0; at < 48_000; at += 128) assert.ok(thread.process([[loud, loud]]));
    assert.ok(thread.process([[]])); // the microphone has paused
    thread.port.onmessage({ data: 'finish' });
    assert.equal(thread.process([[loud]]), false);
    const blocks = said.filter(({ pcm }) => pcm).map(({ pcm }) => pcm);
    assert.equal(blocks.reduce((sum, pcm) => sum + pcm.length, 0), 32_000);
    assert.deepEqual(blocks.map((pcm) => pcm.length), [...new Array(6).fill(4_800), 3_200]);
    assert.deepEqual([...blocks[3].subarray(0, 2)], [0xff, 0x7f]); // clipped, not wrapped; little endian
    assert.ok(said.filter(({ level }) => level > 1.4).length >= 19);
    assert.deepEqual(said.at(-1), { done: true });
});

test('a flush gives the block that is being filled', () => {
    const said = [];
    const thread = new registered.pcm({ processorOptions: { rate: 16_000, blockSamples: 2_400, levelSeconds: 9 } });
    thread.port.postMessage = (message) => said.push(message);
    thread.process([[new Float32Array(1_280).fill(0.5)]]);
    thread.port.onmessage({ data: 'flush' });
    thread.port.onmessage({ data: 'flush' });
    assert.deepEqual(said.map(({ pcm, flushed }) => pcm?.length > 700 || flushed), [true, true, true]);
    assert.ok(thread.process([[new Float32Array(128)]])); // it goes on
});

/** One second. */
function tone(rate, height) {
    return Float32Array.from({ length: rate }, (_, at) => 0.5 * Math.sin((2 * Math.PI * height * at) / rate));
}

function resampled(rate, samples) {
    const out = [];
    const resampler = new Resampler(rate, 16_000);
    resampler.process(samples, (sample) => out.push(sample));
    resampler.flush((sample) => out.push(sample));
    return out;
}
