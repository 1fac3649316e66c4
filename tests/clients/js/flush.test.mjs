import assert from 'node:assert/strict';
import test, { after, before, beforeEach } from 'node:test';

import { Microphone, STTClient } from '../../../server/web/stt-client.js';
import { EventSource, next, recorded } from '../../support/js_sessions.mjs';
import { counting, silence, StandIn } from '../../support/stand_in.mjs';

let server;
let session;
let events;
before(async () => (server = await new StandIn().start()));
after(() => server.stop());
beforeEach(async () => {
    server.faults = [];
    server.asked = [];
    const client = new STTClient(server.url, { EventSource, chunkBytes: 8_000 });
    session = await client.createSession(Microphone.FORMAT);
    events = recorded(session);
});

test('a flush gives the final of what was sent, and the session goes on', async () => {
    session.send(counting(0.4));
    assert.equal(await session.flush(), '1');
    session.send(counting(0.4, 2));
    assert.equal(await session.flush(), '2');
    assert.deepEqual(events.of('final').map(({ start, end }) => [start, end]), [[0, 0.4], [0.4, 0.8]]);
    assert.equal((await session.finish()).text, '1 2');
});

test('a flush stands where it was asked, whatever is sent after it', async () => {
    session.send(counting(0.3));
    const first = session.flush();
    session.send(counting(0.4, 2)); // a microphone does not stop
    const second = session.flush();
    session.send(counting(0.2, 3));
    assert.deepEqual(await Promise.all([first, second]), ['1', '2']);
    assert.equal((await session.finish()).text, '1 2 3');
});

test('a flush where nothing was said is answered with nothing', async () => {
    assert.equal(await session.flush(), null);
    session.send(silence(0.5));
    assert.equal(await session.flush(), null);
    assert.deepEqual(events.of('speech_end').map(({ through }) => through), [0, 0.5]);
    session.close();
});

test('two flushes at one place have one answer', async () => {
    session.send(counting(0.4));
    assert.deepEqual(await Promise.all([session.flush(), session.flush()]), ['1', '1']);
    assert.equal(await session.flush(), '1');
    assert.equal(events.of('final').length, 1);
    session.close();
});

for (const [code, status] of [['backlog_full', 429], ['log_unavailable', 503], ['internal_error', 500]]) {
    test(`a flush that meets ${code} is asked again`, async () => {
        server.break('flush', status, { code });
        session.send(counting(0.4));
        assert.equal(await session.flush(), '1');
        assert.equal(server.asked.filter((what) => what === 'flush').length, 2);
        session.close();
    });
}

test('a server that knows no flush refuses the flush alone', async () => {
    server.break('flush', 404, { code: 'not_found', detail: 'No such path.' });
    session.send(counting(0.4));
    await assert.rejects(session.flush(), { code: 'not_found' });
    assert.equal((await session.finish()).text, '1');
});

test('a flush whose session is lost is answered by the new one', async () => {
    session.send(counting(1.4));
    await Promise.all([session.stored(), next(session, 'final')]);
    server.restart();
    const answer = session.flush();
    session.send(counting(0.4, 7));
    assert.equal(await answer, '2');
    assert.equal(events.of('final')[1].flushed, 1.4 * 32_000); // in the bytes of the caller
    assert.equal((await session.finish()).text, '1 2 7');
});

test('a flush that a dead server had answered is not asked again', async () => {
    session.send(counting(1.4));
    assert.equal(await session.flush(), '2');
    server.restart();
    session.send(counting(0.4, 7));
    assert.equal(await session.flush(), '7');
    session.close();
});

test('a flush that is not answered when the session ends well has nothing to tell', async () => {
    server.newest.flush = () => ({ offset: 0 });
    session.send(counting(0.4));
    const answer = session.flush();
    assert.equal((await session.finish()).text, '1');
    assert.equal(await answer, null);
});

test('a flush of a session that fails or is closed is refused', async () => {
    server.newest.flush = () => ({ offset: 0 });
    const answer = session.flush();
    session.close();
    await assert.rejects(answer, { code: 'closed' });
    await assert.rejects(session.flush(), { code: 'closed' });
});
