// A server that loses its session: the caller's goes on in a new one.

import assert from 'node:assert/strict';
import test, { after, before, beforeEach } from 'node:test';

import { Microphone, STTClient } from '../../../server/web/stt-client.js';
import { EventSource, next, recorded } from '../../support/js_sessions.mjs';
import { counting, silence, StandIn } from '../../support/stand_in.mjs';

let server;
let client;
before(async () => (server = await new StandIn().start()));
after(() => server.stop());
beforeEach(() => {
    server.faults = [];
    server.asked = [];
    server.isMute = false;
    server.back();
    client = new STTClient(server.url, { EventSource, chunkBytes: 8_000 });
});

/** A session that has told the final of each whole second of what it was sent. */
async function heard(audio, config = Microphone.FORMAT) {
    const session = await client.createSession(config);
    const events = recorded(session);
    const last = next(session, 'final', ({ text }) => text === `${Math.floor(audio.length / 32_000)}`);
    session.send(audio);
    await Promise.all([session.stored(), last]);
    return { session, events };
}

const asked = (what) => server.asked.filter((each) => each === what).length;

test('in mid-sentence nothing is lost or told twice, and the clock goes on', async () => {
    const audio = counting(5);
    const { session, events } = await heard(audio.subarray(0, 32_000 * 2.5));
    const previous = session.id;
    server.restart();
    session.send(audio.subarray(32_000 * 2.5));
    const transcript = await session.finish();
    assert.deepEqual(events.texts, ['1', '2', '3', '4', '5']);
    assert.deepEqual(events.of('reopened'), [
        { sessionId: session.id, previous, reason: 'session_not_found', fromSeconds: 2 },
    ]);
    assert.notEqual(session.id, previous);
    const finals = events.of('final');
    assert.deepEqual(finals.map(({ start, end, through }) => [start, end, through]), [1, 2, 3, 4, 5].map((n) => [n - 1, n, n]));
    assert.deepEqual(finals[3].words, [{ word: '4', start: 3, end: 4 }]);
    assert.deepEqual(transcript.segments, finals);
    assert.deepEqual([transcript.text, transcript.duration, transcript.session_id], ['1 2 3 4 5', 5, session.id]);
    assert.ok(events.of('token').every(({ start, end }) => end > start && end <= 5));
});

test('the transcript so far is that of all sessions, in each format', async () => {
    const { session } = await heard(counting(2.5));
    const reopened = next(session, 'reopened');
    server.restart();
    session.send(counting(0.5, 3));
    await reopened;
    await next(session, 'final');
    assert.equal((await session.transcript()).text, '1 2 3');
    assert.equal(await session.transcript('text'), '1\n2\n3\n');
    assert.match(await session.transcript('srt'), /\n3\n00:00:02,000 --> 00:00:03,000\n3\n/);
    assert.match(await session.transcript('vtt'), /^WEBVTT\n\n/);
    assert.deepEqual([(await session.state()).offset, (await session.state()).recognized_seconds], [96_000, 2]);
    session.close();
});

test('a session can be lost more than once', async () => {
    const { session, events } = await heard(counting(1));
    for (const n of [2, 3, 4]) {
        server.restart();
        const final = next(session, 'final');
        session.send(counting(1, n));
        await final;
    }
    assert.equal((await session.finish()).text, '1 2 3 4');
    assert.deepEqual(events.of('reopened').map(({ fromSeconds }) => fromSeconds), [1, 2, 3]);
});

test('a file is sent again from its beginning, and its finals are not told twice', async () => {
    const { session, events } = await heard(counting(2.5), {});
    server.restart();
    session.send(counting(0.5, 3));
    const transcript = await session.finish();
    assert.deepEqual(events.texts, ['1', '2', '3']);
    assert.equal(transcript.text, '1 2 3');
    assert.equal(events.of('reopened')[0].fromSeconds, 0);
    assert.equal(server.newest.audio.length, 96_000);
});

test('a file that is not held any more cannot go on in a new session', async () => {
    client = new STTClient(server.url, { EventSource, chunkBytes: 8_000, bufferBytes: 64_000 });
    const session = await client.createSession({});
    const failed = next(session, 'failed');
    await session.sendBlob(new Blob([counting(3)]));
    await session.stored();
    server.restart();
    session.send(counting(1));
    assert.equal((await failed).code, 'session_lost');
});

test('finishing waits for the new session', async () => {
    const { session } = await heard(counting(1.5));
    server.restart();
    assert.equal((await session.finish()).text, '1 2');
});

test('a session that is lost after its last final needs no new one', async () => {
    const { session } = await heard(counting(2));
    server.restart();
    const transcript = await session.finish();
    assert.deepEqual([transcript.text, transcript.duration, asked('create')], ['1 2', 2, 1]);
});

test('a server that is restarted while audio waits for it gets all of it', async () => {
    const { session, events } = await heard(counting(1.5));
    server.down();
    server.restart();
    session.send(counting(0.5, 2));
    session.send(counting(2, 3));
    const offline = next(session, 'connection');
    assert.deepEqual(await offline, { online: false });
    server.back();
    await session.finish();
    assert.deepEqual(events.texts, ['1', '2', '3', '4']);
    assert.equal(session.online, true);
});

test('the place that a restarted server does not have yet is waited for, and told', async () => {
    const { session, events } = await heard(counting(1.5));
    server.restart();
    server.break('create', 503, { code: 'draining' });
    server.break('create', 429, { code: 'too_many_sessions' });
    await session.finish();
    assert.deepEqual(events.of('waiting').map(({ code }) => code), ['draining', 'too_many_sessions']);
    assert.deepEqual(events.texts, ['1', '2']);
});

test('a session that is lost again and again without a final is given up', async () => {
    server.isMute = true;
    const session = await client.createSession(Microphone.FORMAT);
    const events = recorded(session);
    const failed = next(session, 'failed');
    session.addEventListener('reopened', () => server.newest.end('server_shutdown'));
    session.send(counting(1));
    await session.stored();
    server.newest.end('server_shutdown');
    assert.equal((await failed).code, 'session_lost');
    assert.equal(events.of('reopened').length, 5);
    assert.equal(session.unrecognized().audio.length, 32_000);
});

test('a server that stays away is given up, and a person can have it tried again', async () => {
    client = new STTClient(server.url, { EventSource, holdSeconds: 0.3 });
    const { session, events } = await heard(counting(1.5));
    const failed = next(session, 'failed');
    server.down();
    server.restart();
    session.send(counting(0.5, 2));
    assert.equal((await failed).code, 'server_away');
    session.send(counting(1, 3)); // the microphone does not stop
    await assert.rejects(session.finish(), { code: 'server_away' });
    server.back();
    session.resume();
    assert.equal((await session.finish()).text, '1 2 3');
    assert.deepEqual(events.texts, ['1', '2', '3']);
});

test('what a failed session owes can be recognised by another one', async () => {
    const { session, events } = await heard(counting(1.5));
    const failed = next(session, 'failed');
    server.newest.reason = 'engine_failed';
    server.newest.publish('session_end', { reason: 'engine_failed' });
    await failed;
    session.send(counting(0.5, 2));
    session.resume();
    await session.finish();
    assert.deepEqual(events.texts, ['1', '2']);
    assert.equal(events.of('reopened')[0].reason, 'engine_failed');
});

test('a silence at the end of an idle session is not sent again', async () => {
    const { session } = await heard(counting(1));
    session.send(silence(0.5));
    await session.stored();
    server.newest.end('idle_timeout');
    await next(session, 'session_end');
    const reopened = next(session, 'reopened');
    session.send(counting(1, 2));
    assert.equal((await reopened).fromSeconds, 1.5);
    assert.equal((await session.finish()).segments[1].start, 1.5);
});

test('a session that is closed while a new one is opened leaves none behind', async () => {
    const { session } = await heard(counting(1.5));
    server.restart();
    server.break('create', 429, { code: 'too_many_sessions' }, { 'Retry-After': '60' });
    const waiting = next(session, 'waiting');
    session.send(counting(1));
    await waiting;
    session.close();
    assert.equal(server.sessions.size, 0);
    await assert.rejects(session.finish(), { code: 'closed' });
});
