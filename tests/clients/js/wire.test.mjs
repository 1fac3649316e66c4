import assert from 'node:assert/strict';
import test from 'node:test';

import { delaySeconds, Retry } from '../../../server/web/retry.js';
import { shifted } from '../../../server/web/stt-events.js';
import { request, STTError } from '../../../server/web/stt-wire.js';
import { joined, toSRT, toVTT } from '../../../server/web/transcript-formats.js';

const answering = (status, body, headers) => async () => new Response(body, { status, headers });
const JSON_TYPE = { 'Content-Type': 'application/problem+json' };

test('a refusal has the code, the words and the wait of the server', async () => {
    const body = JSON.stringify({ code: 'too_many_sessions', detail: 'Full.', more: 1 });
    const asked = request(answering(429, body, { ...JSON_TYPE, 'Retry-After': '7' }), 'http://x/', {});
    await assert.rejects(asked, { code: 'too_many_sessions', message: 'Full.', retryAfter: 7, status: 429, action: 'retry' });
});

test('a page of a proxy is a server that is away, but not one that wants a key', async () => {
    await assert.rejects(request(answering(503, '<h1>', {}), 'http://x/', {}), { code: 'server_away', action: 'retry' });
    await assert.rejects(request(answering(401, '<h1>', {}), 'http://x/', {}), { code: 'http_401', action: 'give_up' });
});

test('a code that is newer than the table is judged by its status', () => {
    assert.equal(new STTError('brand_new', '', { status: 503 }).action, 'retry');
    assert.equal(new STTError('brand_new', '', { status: 422 }).action, 'give_up');
});

test('waits grow, are jittered, and come after what the server asks for', () => {
    for (let n = 1; n < 40; n++) {
        const backoff = Math.min(5, 0.2 * 2 ** (n - 1));
        const seconds = delaySeconds(n, 3);
        assert.ok(seconds >= 3 + backoff / 2 && seconds <= 3 + backoff, `${n}: ${seconds}`);
    }
});

test('tries end at the give-up time, but for a server that only has to catch up', () => {
    const full = new STTError('too_many_sessions', '', { retryAfter: 1 });
    const busy = new STTError('backlog_full', '', { retryAfter: 1 });
    const retry = new Retry();
    assert.throws(() => retry.delay(full, 1), { code: 'too_many_sessions' });
    for (let n = 0; n < 100; n++) assert.ok(retry.delay(busy, 2) <= 1.2);
    assert.throws(() => retry.delay(new STTError('invalid_request', ''), 60), { code: 'invalid_request' });
});

test('an event of a later session is moved on the clock, with its words', () => {
    const said = { text: 'a', start: 0.1, end: 0.4, through: 0.5, flushed: 100, words: [{ word: 'a', start: 0.1, end: 0.4 }] };
    assert.deepEqual(shifted(said, 2.2, 70_400), {
        text: 'a', start: 2.3, end: 2.6, through: 2.7, flushed: 70_500, words: [{ word: 'a', start: 2.3, end: 2.6 }],
    });
    assert.deepEqual(shifted({ code: 'engine_restarted' }, 2, 64_000), { code: 'engine_restarted' });
});

test('texts are joined as their language is written', () => {
    const of = (language) => joined([{ text: 'a', language }, { text: 'b', language }]);
    assert.deepEqual(['ko', 'en-US', 'ja', 'zh-CN', undefined].map(of), ['a b', 'a b', 'ab', 'ab', 'a b']);
});

test('subtitles have the times and the letters of their formats', () => {
    const finals = [{ text: 'a < b', start: 3661.5, end: 3662.0004 }];
    assert.equal(toSRT(finals), '1\n01:01:01,500 --> 01:01:02,000\na < b\n\n');
    assert.equal(toVTT(finals), 'WEBVTT\n\n01:01:01.500 --> 01:01:02.000\na &lt; b\n\n');
});
