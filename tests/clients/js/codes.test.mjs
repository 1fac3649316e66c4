// Each row of the table of codes, on a session that meets it.

import assert from 'node:assert/strict';
import test, { after, before, beforeEach } from 'node:test';

import { CODES, Microphone, STTClient } from '../../../server/web/stt-client.js';
import { EventSource, next, recorded } from '../../support/js_sessions.mjs';
import { counting, StandIn } from '../../support/stand_in.mjs';

const STATUSES = { session_not_found: 404, backlog_full: 429, too_many_sessions: 429, draining: 503, log_unavailable: 503 };
const status = (code) => STATUSES[code] ?? { retry: 500, resume: 409, give_up: 422 }[CODES.answers[code]];
const rows = (table, ...actions) => Object.keys(table).filter((code) => actions.includes(table[code]));

let server;
let client;
before(async () => (server = await new StandIn().start()));
after(() => server.stop());
beforeEach(async () => {
    server.faults = [];
    server.asked = [];
    server.back();
    client = new STTClient(server.url, { EventSource, holdSeconds: 20 });
});

const opened = () => client.createSession({ ...Microphone.FORMAT });
const asked = (what) => server.asked.filter((each) => each === what).length;

test('the table has an action for every code', () => {
    const actions = new Set(['retry', 'wait', 'resume', 'reopen', 'give_up', 'done']);
    for (const action of [...Object.values(CODES.answers), ...Object.values(CODES.reasons)]) assert.ok(actions.has(action), action);
    assert.equal(Object.keys(CODES.answers).length, 17);
    assert.equal(Object.keys(CODES.reasons).length, 8);
});

for (const code of rows(CODES.answers, 'retry', 'wait', 'resume').filter((each) => each !== 'server_away')) {
    test(`an upload that meets ${code} is sent again`, async () => {
        const session = await opened();
        server.break('audio', status(code), { code, offset: 0 });
        session.send(counting(1));
        await session.stored();
        assert.equal(asked('audio'), 2);
        assert.equal((await session.finish()).text, '1');
    });
}

for (const code of rows(CODES.answers, 'give_up').filter((each) => each !== 'session_ended')) {
    test(`an upload that meets ${code} is given up`, async () => {
        const session = await opened();
        server.break('audio', status(code), { code });
        session.send(counting(1));
        await assert.rejects(session.stored(), { code });
        assert.equal(session.status, 'failed');
        assert.equal(asked('audio'), 1);
    });
}

test('an upload that meets session_not_found goes on in another session', async () => {
    const session = await opened();
    const reopened = next(session, 'reopened');
    server.break('audio', 404, { code: 'session_not_found' });
    session.send(counting(1));
    assert.equal((await reopened).reason, 'session_not_found');
    assert.equal((await session.finish()).text, '1');
});

for (const [name, response] of [
    ['a 502 of a proxy', [502]],
    ['a 503 without a code', [503]],
    ['a 429 without a code', [429]],
    ['a 500 without a code', [500]],
]) {
    test(`${name} is a server that is away`, async () => {
        const session = await opened();
        const events = recorded(session);
        server.break('audio', ...response);
        session.send(counting(1));
        await session.stored();
        assert.deepEqual(events.of('connection'), [{ online: false }, { online: true }]);
        session.close();
    });
}

for (const code of rows(CODES.answers, 'retry').filter((each) => each !== 'server_away')) {
    test(`a session is opened although the server first says ${code}`, async () => {
        const waits = [];
        server.break('create', status(code), { code });
        const session = await client.createSession({}, { onWaiting: (waiting) => waits.push(waiting) });
        assert.equal(asked('create'), 2);
        assert.deepEqual(waits.map((wait) => wait.code), [code]);
        assert.ok(waits[0].seconds > 0);
        session.close();
    });
}

test('a session is opened when the server is back', async () => {
    await (await opened()).purge(); // from now on the address is known to be right
    server.down();
    const onWaiting = ({ code }) => {
        assert.equal(code, 'server_away');
        server.back();
    };
    (await client.createSession({}, { onWaiting })).close();
});

for (const code of ['invalid_request', 'unsupported_media_type', 'not_found', 'method_not_allowed']) {
    test(`no session is opened after ${code}`, async () => {
        server.break('create', 422, { code, detail: 'No.' });
        await assert.rejects(opened(), { code, message: 'No.', retryable: false });
        assert.equal(asked('create'), 1);
    });
}

test('waiting for a place ends at the give-up time, with the reason', async () => {
    for (let n = 0; n < 9; n++) server.break('create', 429, { code: 'too_many_sessions' });
    await assert.rejects(client.createSession({}, { giveUpSeconds: 0.3 }), { code: 'too_many_sessions' });
});

test('waiting for a place ends when the caller wants it', async () => {
    server.break('create', 429, { code: 'too_many_sessions' }, { 'Retry-After': '30' });
    const patience = new AbortController();
    const onWaiting = ({ seconds }) => {
        assert.ok(seconds > 30); // what the server asks for, and the backoff
        setTimeout(() => patience.abort());
    };
    await assert.rejects(client.createSession({}, { signal: patience.signal, onWaiting }), { name: 'AbortError' });
    assert.equal(asked('create'), 1);
});

test('an address where nothing answers is given up sooner than a server that has answered', async () => {
    const started = Date.now();
    server.down();
    const stranger = new STTClient(server.url, { EventSource });
    await assert.rejects(stranger.createSession({}), { code: 'server_away' });
    assert.ok(Date.now() - started < 6_000);
});

for (const reason of rows(CODES.reasons, 'reopen')) {
    test(`a session that ended by ${reason} goes on in another one when more audio comes`, async () => {
        const session = await opened();
        const events = recorded(session);
        session.send(counting(1));
        await session.stored();
        server.newest.end(reason);
        await next(session, 'session_end');
        assert.equal(session.status, 'open');
        session.send(counting(1, 2));
        assert.deepEqual((await session.finish()).segments.map(({ text }) => text), ['1', '2']);
        assert.equal(events.of('reopened')[0].reason, reason);
        assert.deepEqual(events.texts, ['1', '2']);
    });

    test(`a session that ended by ${reason} with everything recognised is done`, async () => {
        const session = await opened();
        session.send(counting(1));
        await session.stored();
        server.newest.end(reason);
        await next(session, 'session_end');
        const transcript = await session.finish();
        assert.deepEqual([transcript.text, transcript.reason], ['1', reason]);
        assert.equal(asked('create'), 1);
    });
}

for (const reason of [...rows(CODES.reasons, 'give_up'), 'finished', 'something_new']) {
    test(`a session that ended by ${reason} has failed`, async () => {
        const session = await opened();
        const failed = next(session, 'failed');
        server.newest.end(reason);
        const { code, document } = await failed;
        assert.deepEqual([code, document.reason], ['session_ended', reason]);
        assert.equal(asked('create'), 1);
    });
}

test('an end that no event tells is asked for', async () => {
    const deaf = class extends EventSource {
        constructor(url) {
            super(url, () => new Promise(() => {}));
        }
    };
    client = new STTClient(server.url, { EventSource: deaf });
    const session = await opened();
    server.newest.end('idle_timeout');
    const reopened = next(session, 'reopened');
    session.send(counting(1));
    assert.equal((await reopened).reason, 'idle_timeout');
    session.close();
});
