// Tests of server/web/stt-client.js and pcm-worklet.js in Node; test_stt_client_js.py runs each by its name:
// node stt_client_js.mjs <name> '{"url": …, …}'. What a test returns is printed as JSON.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';

import { indexFirst } from '../../server/web/mp4-index.js';
import { Microphone, STTClient } from '../../server/web/stt-client.js';
import { EventSource as StandardEventSource } from '../support/event_source.mjs';

const FINAL = ({ text }) => text;

// --- what Node lacks, and what goes wrong ---

/** Tries again at once, so that a test with many cuts does not wait for each. */
class EventSource extends StandardEventSource {
    constructor(url, request) {
        super(url, { request, retrySeconds: 0.03 });
    }
}

/** A generator of the same numbers in every run. */
function seeded(seed) {
    return () => {
        seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
        return seed / 2 ** 32;
    };
}

/** A network that loses requests, answers, parts of bodies, and has a proxy that says 502. */
function badNetwork(random) {
    const faults = [
        async () => Promise.reject(new TypeError('no connection')),
        async (url, options) => {
            await (await fetch(url, options)).text();
            throw new TypeError('the answer was lost');
        },
        async (url, options) => {
            const half = options.body?.slice?.(0, options.body.length / 2);
            if (half?.length) await (await fetch(url, { ...options, body: half })).text();
            throw new TypeError('cut in the middle');
        },
        async () => new Response('<h1>Bad gateway</h1>', { status: 502, headers: { 'Content-Type': 'text/html' } }),
        async () => new Response('<h1>Sign in to the Wi-Fi</h1>', { headers: { 'Content-Type': 'text/html' } }),
    ];
    return (url, options) => {
        const fault = faults[Math.floor(random() * faults.length * 2)];
        return fault ? fault(url, options) : fetch(url, options);
    };
}

/** Event streams that are cut after a few hundred bytes; a proxy answers some, and drops the header of others. */
function badStreams(random) {
    return class extends EventSource {
        constructor(url) {
            super(url, async (address, options) => {
                if (random() < 0.2) return new Response('', { status: 502 });
                const headers = random() < 0.5 ? {} : options.headers;
                const answer = await fetch(address, { ...options, headers });
                return answer.status === 200 ? new Response(cutAfter(answer.body, 1 + random() * 900)) : answer;
            });
        }
    };
}

function cutAfter(body, bytes) {
    const cut = new TransformStream({
        transform(part, controller) {
            controller.enqueue(part.subarray(0, bytes));
            bytes -= part.length;
            if (bytes <= 0) controller.error(new TypeError('cut'));
        },
    });
    return body.pipeThrough(cut);
}

function pause(seconds) {
    return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

const lines = createInterface({ input: process.stdin });

/** Have the Python half do something, and wait for what it says. */
async function ask(what) {
    process.stdout.write(`${JSON.stringify({ ask: what })}\n`);
    return JSON.parse((await once(lines, 'line'))[0]);
}

/** The events of a session, as they come: `[type, detail]`. */
function recorded(session) {
    const events = [];
    const types = ['token', 'final', 'speech_start', 'speech_end', 'error', 'session_end', 'connection', 'failed'];
    for (const type of types) session.addEventListener(type, ({ detail }) => events.push([type, detail]));
    events.of = (type) => events.filter(([each]) => each === type).map(([, detail]) => detail);
    return events;
}

function next(target, type) {
    return new Promise((resolve) => target.addEventListener(type, ({ detail }) => resolve(detail), { once: true }));
}

// --- sessions ---

const tests = {
    async 'every byte arrives once, whatever the network does'({ url, audio }) {
        const random = seeded(7);
        const client = new STTClient(url, { fetch: badNetwork(random), EventSource, chunkBytes: 6_000 });
        const config = { engine: 'recording', ...Microphone.FORMAT };
        const session = await client.createSession(config, { giveUpSeconds: 30 });
        const bytes = await readFile(audio);
        for (let at = 0; at < bytes.length; ) {
            const size = 1 + Math.floor(random() * 9_000); // also half samples
            session.send(bytes.subarray(at, at + size));
            at += size;
            await pause(random() * 0.03);
        }
        await session.finish();
        assert.equal(session.confirmedBytes, bytes.length);
        return { session_id: session.id };
    },

    async 'every event comes once and in order, however often the stream is cut'({ url, audio, said }) {
        const random = seeded(3);
        const client = new STTClient(url, { EventSource: badStreams(random) });
        const session = await client.createSession({ engine: 'fake', ...Microphone.FORMAT });
        const events = recorded(session);
        const bytes = await readFile(audio);
        for (let at = 0; at < bytes.length; at += 16_000) {
            session.send(bytes.subarray(at, at + 16_000));
            await pause(0.02);
        }
        const transcript = await session.finish();
        assert.deepEqual(transcript.segments.map(FINAL), said);
        assert.deepEqual(events.of('final').map(FINAL), said);
        assert.equal(events.of('speech_start').length, said.length);
        assert.equal(events.of('failed').length, 0);
        assert.ok(events.of('connection').length > 0, 'nothing was cut');
    },

    async 'what a restarted server had not finished is told again to a new session'({ url, audio, said }) {
        let server = url;
        const here = (address) => address.toString().replace('http://stt.test', server);
        const client = new STTClient('http://stt.test', {
            fetch: (address, options) => fetch(here(address), options),
            EventSource: class extends EventSource {
                constructor(address) {
                    super(address, (given, options) => fetch(here(given), options));
                }
            },
        });
        const bytes = await readFile(audio);
        const cut = Math.floor(bytes.length / 2 / 3_200) * 3_200 + 16_000; // in the middle of an utterance
        const first = await client.createSession({ engine: 'fake', ...Microphone.FORMAT });
        const heard = recorded(first);
        first.send(bytes.subarray(0, cut));
        await first.flush();
        while (!heard.at(-1)?.[1].text?.startsWith(said[2].slice(0, 3))) await pause(0.02);
        const failed = next(first, 'failed');
        server = await ask('restart the server');
        first.send(bytes.subarray(cut, cut + 3_200));
        assert.equal((await failed).code, 'session_lost');
        first.send(bytes.subarray(cut + 3_200)); // the microphone does not stop

        const { seconds, audio: rest } = first.unrecognized();
        assert.equal(seconds, heard.of('final').at(-1).end);
        const second = await client.createSession(first.config);
        const heardThen = recorded(second);
        second.send(rest);
        await second.finish();
        assert.ok(heard.of('final').length >= 1);
        assert.deepEqual([...heard.of('final'), ...heardThen.of('final')].map(FINAL), said);
        await assert.rejects(first.finish(), { code: 'session_lost' });
    },

    async 'audio waits while the server is away and goes up when it is back'({ url, audio, said }) {
        let away = false;
        const unreliable = (...request) => (away ? Promise.reject(new TypeError('no connection')) : fetch(...request));
        const client = new STTClient(url, { fetch: unreliable, EventSource });
        const session = await client.createSession({ engine: 'fake', ...Microphone.FORMAT });
        const events = recorded(session);
        const bytes = await readFile(audio);
        session.send(bytes.subarray(0, 32_000));
        await session.flush();
        away = true;
        session.send(bytes.subarray(32_000));
        assert.deepEqual(await next(session, 'connection'), { online: false });
        assert.equal(session.waitingSeconds, (bytes.length - 32_000) / 32_000);
        const finished = session.finish();
        assert.throws(() => session.send(bytes), { code: 'closed' });
        away = false;
        assert.deepEqual((await finished).segments.map(FINAL), said);
        assert.equal(session.waitingBytes, 0);
        assert.deepEqual(events.of('connection'), [{ online: false }, { online: true }]);
    },

    async 'a full buffer takes nothing more and says so'({ url }) {
        const hanging = (address, options) =>
            options.body instanceof Uint8Array ? new Promise(() => {}) : fetch(address, options);
        const client = new STTClient(url, { fetch: hanging, EventSource, bufferBytes: 1_000 });
        const session = await client.createSession({ engine: 'fake' });
        session.send(new Uint8Array(900));
        assert.throws(() => session.send(new Uint8Array(101)), { code: 'buffer_full' });
        assert.equal(session.waitingBytes, 900);
        session.send(new Uint8Array(100));
        session.close();
        assert.throws(() => session.send(new Uint8Array(1)), { code: 'closed' });
        await assert.rejects(session.flush(), { code: 'closed' });
    },

    async 'a stream that falls silent is opened anew'({ url, audio, said }) {
        let streams = 0;
        const client = new STTClient(url, {
            stallSeconds: 0.5,
            EventSource: class extends EventSource {
                constructor(address) {
                    super(address, streams++ ? fetch : () => new Promise(() => {}));
                }
            },
        });
        const session = await client.createSession({ engine: 'fake', ...Microphone.FORMAT });
        const events = recorded(session);
        session.send(await readFile(audio));
        await next(session, 'final');
        await session.finish();
        assert.deepEqual(events.of('final').map(FINAL), said);
        assert.deepEqual(events.of('connection'), [{ online: false }, { online: true }]);
    },

    async 'every final has been told when finish returns, even if no stream came through'({ url, audio, said }) {
        const dead = class extends EventSource {
            constructor(address) {
                super(address, () => new Promise(() => {}));
            }
        };
        const session = await new STTClient(url, { EventSource: dead }).createSession({ engine: 'fake' });
        const events = recorded(session);
        session.send(await readFile(audio));
        await session.finish();
        assert.deepEqual(events.of('final').map(FINAL), said);
        await session.finish();
        assert.equal(events.of('final').length, said.length);
    },

    async 'a refusal to open a session is told at once'({ url, full }) {
        const refused = new STTClient(url, { EventSource }).createSession({ engine: 'fake', diarize: true });
        await assert.rejects(refused, ({ code, document }) => {
            assert.equal(code, 'invalid_request');
            return document.errors[0].field === 'config.diarize';
        });
        const client = new STTClient(full, { EventSource });
        const session = await client.createSession();
        await assert.rejects(client.createSession(), ({ code, retryAfter }) => {
            return code === 'too_many_sessions' && retryAfter > 0;
        });
        await session.finish();
    },

    async 'a server that is not there is away'({ nowhere }) {
        const client = new STTClient(nowhere, { EventSource });
        const opened = client.createSession({}, { giveUpSeconds: 0.5 });
        await assert.rejects(opened, { code: 'server_away', retryable: true });
        await assert.rejects(client.info(), { code: 'server_away' });
    },

    async 'a session that somebody else finishes has ended'({ url, audio }) {
        const client = new STTClient(url, { EventSource });
        const session = await client.createSession({ engine: 'fake', ...Microphone.FORMAT });
        const events = recorded(session);
        const bytes = await readFile(audio);
        session.send(bytes);
        await session.flush();
        const failed = next(session, 'failed');
        await client.request('DELETE', `sessions/${session.id}`);
        assert.equal((await failed).document.reason, 'finished');
        assert.deepEqual(events.at(-2)[0], 'session_end');
        session.send(bytes.subarray(0, 4));
        await assert.rejects(session.flush(), { code: 'session_ended' });
    },

    async 'audio that comes after the end is kept for another session'({ url }) {
        const silent = class extends EventSource {
            constructor(address) {
                super(address, async () => new Response('', { status: 502 }));
            }
        };
        const client = new STTClient(url, { EventSource: silent });
        const session = await client.createSession({ engine: 'fake', ...Microphone.FORMAT });
        const failed = next(session, 'failed');
        await client.request('DELETE', `sessions/${session.id}`);
        session.send(new Uint8Array([1, 2, 3, 4]));
        assert.equal((await failed).code, 'session_ended');
        assert.deepEqual([...session.unrecognized().audio], [1, 2, 3, 4]);
    },

    async 'a session is taken up where it was left'({ url, audio, said }) {
        const client = new STTClient(url, { EventSource });
        const bytes = await readFile(audio);
        const left = await client.createSession({ engine: 'fake', ...Microphone.FORMAT });
        left.send(bytes.subarray(0, 50_001));
        await left.flush();
        left.close();
        const session = await client.session(left.id);
        const events = recorded(session);
        assert.equal(session.confirmedBytes, 50_001);
        session.send(bytes.subarray(50_001));
        await session.finish();
        assert.deepEqual(events.of('final').map(FINAL), said);
    },

    async 'a file is sent as it is'({ url, wav, said }) {
        const session = await new STTClient(url, { EventSource }).createSession({ engine: 'fake' });
        await session.sendBlob(new Blob([await readFile(wav)]));
        const transcript = await session.finish();
        assert.deepEqual(transcript.segments.map(FINAL), said);
        assert.equal(await session.transcript('text'), said.map((text) => `${text}\n`).join(''));
        assert.match(await session.transcript('srt'), /^1\n00:00:0\d,\d{3} --> /);
        assert.equal((await session.transcript()).text, said.join(' '));
    },

    async 'a file whose index comes last is sent with its index first'({ url, mp4, said }) {
        const session = await new STTClient(url, { EventSource }).createSession({ engine: 'fake' });
        await session.sendBlob(new Blob([await readFile(mp4)]));
        const transcript = await session.finish();
        assert.deepEqual(transcript.segments.map(FINAL), said);
        assert.equal(session.confirmedBytes, (await readFile(mp4)).length);
    },

    async 'any other file stays as it is, damaged ones too'({ wav, mp4 }) {
        const file = await readFile(mp4);
        const first = file.readUInt32BE(0); // where the boxes begin, after that of the type
        const index = file.indexOf('moov') - 4;
        const inOrder = Buffer.concat([file.subarray(0, first), file.subarray(index), file.subarray(first, index)]);
        const others = [await readFile(wav), inOrder, file.subarray(0, index), file.subarray(0, index + 100), Buffer.of()];
        others.push(Buffer.from(file).fill(0, first, first + 4), Buffer.from(file).fill(255, first, first + 4));
        for (const bytes of others) {
            const blob = new Blob([bytes]);
            assert.equal(await indexFirst(blob), blob);
        }
    },

    async 'a purged session is gone'({ url }) {
        const session = await new STTClient(url, { EventSource }).createSession({ engine: 'fake' });
        await session.purge();
        await assert.rejects(session.state(), { code: 'session_lost', status: 404 });
    },

    async 'a key and the token of a session go with each request'({ url }) {
        const sent = [];
        const watched = (address, options) => {
            sent.push(options.headers.Authorization);
            return fetch(address, options);
        };
        const client = new STTClient(url, { fetch: watched, EventSource, apiKey: 'secret' });
        await (await client.createSession({ engine: 'fake' })).finish();
        assert.deepEqual([...new Set(sent)], ['Bearer secret']);
    },

    // --- the audio thread ---

    async 'a tone keeps its height and its loudness at every rate'() {
        const { Resampler } = await audioThread();
        for (const rate of [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]) {
            const heard = resampled(Resampler, rate, tone(rate, 1_000));
            assert.equal(heard.length, 16_000);
            const middle = [...heard.keys()].slice(200, -200);
            const wanted = tone(16_000, 1_000);
            const error = Math.max(...middle.map((at) => Math.abs(heard[at] - wanted[at])));
            assert.ok(error < 0.002, `${rate} Hz: ${error}`);
        }
    },

    async 'what 16 kHz cannot carry is filtered out'() {
        const { Resampler } = await audioThread();
        for (const height of [8_200, 9_000, 15_000, 16_000, 20_000]) {
            const heard = resampled(Resampler, 48_000, tone(48_000, height)).slice(200, -200);
            assert.ok(Math.max(...heard.map(Math.abs)) < 0.002, `${height} Hz is heard`);
        }
    },

    async 'how the audio is cut into blocks makes no difference'() {
        const { Resampler } = await audioThread();
        const random = seeded(11);
        const noise = Float32Array.from({ length: 30_000 }, () => random() * 2 - 1);
        const whole = resampled(Resampler, 44_100, noise);
        const resampler = new Resampler(44_100, 16_000);
        const parts = [];
        for (let at = 0; at < noise.length; at += 128) {
            resampler.process(noise.subarray(at, at + 128), (sample) => parts.push(sample));
        }
        resampler.flush((sample) => parts.push(sample));
        assert.deepEqual(parts, whole);
    },

    async 'the microphone gives blocks of PCM16, levels, and the rest at the end'() {
        const { processor } = await audioThread();
        const said = [];
        const thread = new processor({ processorOptions: { rate: 16_000, blockSamples: 2_400, levelSeconds: 0.05 } });
        thread.port.postMessage = (message) => said.push(message);
        const loud = new Float32Array(128).fill(1.5);
        for (let at = 0; at < 48_000; at += 128) assert.ok(thread.process([[loud, loud]]));
        assert.ok(thread.process([[]])); // the microphone has paused
        thread.port.onmessage();
        assert.equal(thread.process([[loud]]), false);
        const blocks = said.filter(({ pcm }) => pcm).map(({ pcm }) => pcm);
        assert.equal(blocks.reduce((sum, pcm) => sum + pcm.length, 0), 32_000);
        assert.deepEqual(blocks.map((pcm) => pcm.length), [...new Array(6).fill(4_800), 3_200]);
        assert.deepEqual([...blocks[3].subarray(0, 2)], [0xff, 0x7f]); // clipped, not wrapped; little endian
        assert.ok(said.filter(({ level }) => level > 1.4).length >= 19);
        assert.deepEqual(said.at(-1), { done: true });
    },
};

/** pcm-worklet.js with what the audio thread of a browser has. */
async function audioThread() {
    let processor;
    Object.assign(globalThis, {
        sampleRate: 48_000,
        AudioWorkletProcessor: class {
            port = {};
        },
        registerProcessor: (name, given) => (processor = given),
    });
    const { Resampler } = await import('../../server/web/pcm-worklet.js');
    return { Resampler, processor };
}

/** One second. */
function tone(rate, height) {
    return Float32Array.from({ length: rate }, (_, at) => 0.5 * Math.sin((2 * Math.PI * height * at) / rate));
}

function resampled(Resampler, rate, samples) {
    const out = [];
    const resampler = new Resampler(rate, 16_000);
    resampler.process(samples, (sample) => out.push(sample));
    resampler.flush((sample) => out.push(sample));
    return out;
}

const [name, given = '{}'] = process.argv.slice(2);
if (name) {
    const result = await tests[name](JSON.parse(given));
    process.stdout.write(`${JSON.stringify(result ?? {})}\n`, () => process.exit(0));
} else {
    process.stdout.write(JSON.stringify(Object.keys(tests)));
    process.exit(0);
}
