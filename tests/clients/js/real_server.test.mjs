// The module against the real server, which test_stt_client_js.py starts: STT_TEST_SERVERS tells where, and what is said.

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import test from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { Microphone, STTClient } from '../../../server/web/stt-client.js';
import { EventSource, next, recorded, seeded } from '../../support/js_sessions.mjs';

const { url, full, nowhere, second, audio, wav, mp4, noise, heard, said } = JSON.parse(process.env.STT_TEST_SERVERS ?? '{}');
const isAlone = { skip: url ? false : 'pytest tests/clients/test_stt_client_js.py starts the servers' };

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

test('every byte arrives once, whatever the network does', isAlone, async () => {
    const random = seeded(7);
    const client = new STTClient(url, { fetch: badNetwork(random), EventSource, chunkBytes: 6_000 });
    const config = { engine: 'recording', ...Microphone.FORMAT };
    const session = await client.createSession(config, { giveUpSeconds: 30 });
    const bytes = await readFile(noise);
    for (let at = 0; at < bytes.length; ) {
        const size = 1 + Math.floor(random() * 9_000); // also half samples
        session.send(bytes.subarray(at, at + size));
        at += size;
        await pause(random() * 30);
    }
    await session.finish();
    assert.equal(session.confirmedBytes, bytes.length);
    await writeFile(heard, `${session.confirmedBytes}`);
});

test('every event comes once and in order, however often the stream is cut', isAlone, async () => {
    const random = seeded(3);
    const client = new STTClient(url, { EventSource: badStreams(random) });
    const session = await client.createSession({ engine: 'fake', ...Microphone.FORMAT });
    const events = recorded(session);
    const bytes = await readFile(audio);
    for (let at = 0; at < bytes.length; at += 16_000) {
        session.send(bytes.subarray(at, at + 16_000));
        await pause(20);
    }
    const transcript = await session.finish();
    assert.deepEqual(transcript.segments.map(({ text }) => text), said);
    assert.deepEqual(events.texts, said);
    assert.equal(events.of('speech_start').length, said.length);
    assert.equal(events.of('failed').length, 0);
    assert.ok(events.of('connection').length > 0, 'nothing was cut');
});

test('audio waits while the server is away and goes up when it is back', isAlone, async () => {
    let away = false;
    const unreliable = (...request) => (away ? Promise.reject(new TypeError('no connection')) : fetch(...request));
    const client = new STTClient(url, { fetch: unreliable, EventSource });
    const session = await client.createSession({ engine: 'fake', ...Microphone.FORMAT });
    const events = recorded(session);
    const bytes = await readFile(audio);
    session.send(bytes.subarray(0, 32_000));
    await session.stored();
    away = true;
    session.send(bytes.subarray(32_000));
    assert.deepEqual(await next(session, 'connection'), { online: false });
    assert.equal(session.waitingSeconds, (bytes.length - 32_000) / 32_000);
    const finished = session.finish();
    assert.throws(() => session.send(bytes), { code: 'closed' });
    away = false;
    assert.deepEqual((await finished).segments.map(({ text }) => text), said);
    assert.equal(session.waitingBytes, 0);
    assert.deepEqual(events.of('connection'), [{ online: false }, { online: true }]);
});

test('a full buffer takes nothing more and says so', isAlone, async () => {
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
    await assert.rejects(session.stored(), { code: 'closed' });
});

test('a stream that falls silent is opened anew', isAlone, async () => {
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
    assert.deepEqual(events.texts, said);
    assert.deepEqual(events.of('connection'), [{ online: false }, { online: true }]);
});

test('every final has been told when finish returns, even if no stream came through', isAlone, async () => {
    const dead = class extends EventSource {
        constructor(address) {
            super(address, () => new Promise(() => {}));
        }
    };
    const session = await new STTClient(url, { EventSource: dead }).createSession({ engine: 'fake' });
    const events = recorded(session);
    session.send(await readFile(audio));
    await session.finish();
    assert.deepEqual(events.texts, said);
    await session.finish();
    assert.equal(events.of('final').length, said.length);
});

test('a server that is not there is away', isAlone, async () => {
    const client = new STTClient(nowhere, { EventSource });
    const opened = client.createSession({}, { giveUpSeconds: 0.5 });
    await assert.rejects(opened, { code: 'server_away', retryable: true });
    await assert.rejects(client.info(), { code: 'server_away' });
});

test('a session that somebody else finishes has ended', isAlone, async () => {
    const client = new STTClient(url, { EventSource });
    const session = await client.createSession({ engine: 'fake', ...Microphone.FORMAT });
    const events = recorded(session);
    const bytes = await readFile(audio);
    session.send(bytes);
    await session.stored();
    const failed = next(session, 'failed');
    await client.request('DELETE', `sessions/${session.id}`);
    assert.equal((await failed).document.reason, 'finished');
    assert.deepEqual(events.at(-2)[0], 'session_end');
    session.send(bytes.subarray(0, 4));
    await assert.rejects(session.stored(), { code: 'session_ended' });
});

test('audio that comes after the end is kept for another session', isAlone, async () => {
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
});

test('a session is taken up where it was left', isAlone, async () => {
    const client = new STTClient(url, { EventSource });
    const bytes = await readFile(audio);
    const left = await client.createSession({ engine: 'fake', ...Microphone.FORMAT });
    left.send(bytes.subarray(0, 50_001));
    await left.stored();
    left.close();
    const session = await client.session(left.id);
    const events = recorded(session);
    assert.equal(session.confirmedBytes, 50_001);
    session.send(bytes.subarray(50_001));
    await session.finish();
    assert.deepEqual(events.texts, said);
});

test('a file is sent as it is', isAlone, async () => {
    const session = await new STTClient(url, { EventSource }).createSession({ engine: 'fake' });
    await session.sendBlob(new Blob([await readFile(wav)]));
    const transcript = await session.finish();
    assert.deepEqual(transcript.segments.map(({ text }) => text), said);
    assert.equal(await session.transcript('text'), said.map((text) => `${text}\n`).join(''));
    assert.match(await session.transcript('srt'), /^1\n00:00:0\d,\d{3} --> /);
    assert.equal((await session.transcript()).text, said.join(' '));
});

test('a file whose index comes last is sent with its index first', isAlone, async () => {
    const session = await new STTClient(url, { EventSource }).createSession({ engine: 'fake' });
    await session.sendBlob(new Blob([await readFile(mp4)]));
    const transcript = await session.finish();
    assert.deepEqual(transcript.segments.map(({ text }) => text), said);
    assert.equal(session.confirmedBytes, (await readFile(mp4)).length);
});

test('a purged session is gone', isAlone, async () => {
    const session = await new STTClient(url, { EventSource }).createSession({ engine: 'fake' });
    await session.purge();
    await assert.rejects(session.state(), { code: 'session_not_found', status: 404 });
});

test('a key and the token of a session go with each request', isAlone, async () => {
    const sent = [];
    const watched = (address, options) => {
        sent.push(options.headers.Authorization);
        return fetch(address, options);
    };
    const client = new STTClient(url, { fetch: watched, EventSource, apiKey: 'secret' });
    await (await client.createSession({ engine: 'fake' })).finish();
    assert.deepEqual([...new Set(sent)], ['Bearer secret']);
});

test('a place on a full server is waited for, and any other refusal is told at once', isAlone, async () => {
    const refused = new STTClient(url, { EventSource }).createSession({ engine: 'fake', diarize: true });
    await assert.rejects(refused, ({ code, document }) => {
        assert.equal(code, 'invalid_request');
        return document.errors[0].field === 'config.diarize';
    });
    const client = new STTClient(full, { EventSource });
    const session = await client.createSession();
    await assert.rejects(client.createSession({}, { giveUpSeconds: 0 }), ({ code, retryAfter }) => {
        return code === 'too_many_sessions' && retryAfter > 0;
    });
    const waits = [];
    const onWaiting = ({ code }) => {
        waits.push(code);
        session.finish();
    };
    await (await client.createSession({}, { onWaiting })).finish();
    assert.deepEqual(waits, ['too_many_sessions']);
});

test('what a restarted server had not finished is told again, in a new session', isAlone, async () => {
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
    const session = await client.createSession({ engine: 'fake', ...Microphone.FORMAT });
    const events = recorded(session);
    const interim = next(session, 'token', ({ text }) => text.startsWith(said[2].slice(0, 3)));
    session.send(bytes.subarray(0, cut));
    await interim;
    server = second; // which knows nothing of the session, like one that was restarted
    session.send(bytes.subarray(cut));
    const transcript = await session.finish();
    assert.deepEqual(events.texts, said);
    assert.deepEqual(transcript.segments.map(({ text }) => text), said);
    const starts = events.of('final').map(({ start }) => start);
    assert.deepEqual(starts, starts.toSorted((a, b) => a - b));
    assert.equal(events.of('reopened').length, 1);
});

test('a flush gives the final of what was said so far, and the session goes on', isAlone, async () => {
    const session = await new STTClient(url, { EventSource }).createSession({ engine: 'fake', ...Microphone.FORMAT });
    const events = recorded(session);
    const bytes = await readFile(audio);
    session.send(bytes.subarray(0, 12_000)); // the first word
    const [first, ...rest] = said[0].split(' ');
    assert.equal(await session.flush(), first);
    assert.equal(await session.flush(), first);
    session.send(bytes.subarray(12_000));
    await session.finish();
    assert.deepEqual(events.texts, [first, rest.join(' '), ...said.slice(1)]);
    assert.equal(events.of('final')[0].flushed, 12_000);
    assert.equal(events.of('final')[0].through, 0.375);
});

test('a flush where nothing was said is answered with nothing', isAlone, async () => {
    const session = await new STTClient(url, { EventSource }).createSession({ engine: 'fake', ...Microphone.FORMAT });
    session.send(new Uint8Array(16_000));
    assert.equal(await session.flush(), null);
    session.close();
});
