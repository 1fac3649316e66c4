// A server in this process that speaks the wire and recognises a clock: what it is told to break, it breaks.

import { once } from 'node:events';
import { createServer } from 'node:http';

const BYTES_PER_SECOND = 32_000;
const HEARTBEAT_MS = 50;

/** Audio whose each second holds one number in all its samples: 1, 2, 3, … @param {number} seconds @param {number} [first] */
export function counting(seconds, first = 1) {
    const samples = new Int16Array(Math.round(seconds * 16_000));
    return new Uint8Array(samples.map((_, at) => first + Math.floor(at / 16_000)).buffer);
}

/** @param {number} seconds */
export function silence(seconds) {
    return new Uint8Array(Math.round(seconds * BYTES_PER_SECOND));
}

/**
 * A session whose final of each whole second lists the numbers that are in it: what is lost or told twice can be seen.
 * A second of zeros is silence, and has none.
 */
class Session {
    constructor(id, config) {
        this.id = id;
        this.config = config;
        this.audio = Buffer.alloc(0);
        this.through = 0; // bytes
        this.events = [];
        this.readers = new Set();
        this.reason = null;
        this.isMute = false;
        this.answered = -1;
    }

    append(bytes) {
        this.audio = Buffer.concat([this.audio, bytes]);
        if (this.isMute) return;
        while (this.audio.length >= this.through + BYTES_PER_SECOND) this.recognise(this.through + BYTES_PER_SECOND);
        if (this.audio.length > this.through + BYTES_PER_SECOND / 2) this.publish('token', this.heard(this.audio.length));
    }

    /** What is in the audio from the last final to `until`. */
    heard(until) {
        const numbers = new Set();
        for (let at = this.through; at + 1 < until; at += 2) numbers.add(this.audio.readInt16LE(at));
        numbers.delete(0);
        const [start, end] = [this.through, until].map((at) => at / BYTES_PER_SECOND);
        const text = [...numbers].join(' ');
        return { text, start, end, words: [{ word: text, start, end }], language: 'ko', engine: 'clock' };
    }

    recognise(until, extra = {}) {
        const heard = this.heard(until);
        const through = until / BYTES_PER_SECOND;
        this.through = until;
        if (heard.text) this.publish('final', { ...heard, is_partial: false, through, ...extra });
        else if ('flushed' in extra) this.publish('speech_end', { end: through, through, ...extra });
    }

    flush() {
        const offset = this.audio.length;
        if (this.answered !== offset) this.recognise(offset, { flushed: offset });
        this.answered = offset;
        return { session_id: this.id, offset, timestamp: 1 };
    }

    end(reason) {
        if (this.reason) return;
        if (!this.isMute) this.recognise(this.audio.length);
        this.reason = reason;
        this.publish('session_end', { reason });
    }

    publish(type, data) {
        this.events.push({ event_type: type, data, timestamp: 1, session_id: this.id });
        for (const reader of this.readers) reader();
    }

    get finals() {
        return this.events.filter(({ event_type: type }) => type === 'final').map(({ data }) => data);
    }

    get document() {
        const [segments, text] = [this.finals, this.finals.map((final) => final.text).join(' ')];
        const status = this.reason ? 'ended' : 'open';
        return { session_id: this.id, status, reason: this.reason, text, segments, duration: this.audio.length / BYTES_PER_SECOND };
    }
}

export class StandIn {
    /** Answers to be given in place of the right ones: `[what, status, document, headers]`, each used once. */
    faults = [];
    /** What was asked: `create`, `audio`, `flush`, `finish`, `purge`, `describe`, `stream`. */
    asked = [];
    sessions = new Map();
    isDown = false;
    isMute = false; // recognises nothing
    #count = 0;
    #server = createServer((request, response) => this.#answer(request, response));

    async start() {
        this.#server.listen(0, '127.0.0.1');
        await once(this.#server, 'listening');
        this.url = `http://127.0.0.1:${this.#server.address().port}`;
        return this;
    }

    stop() {
        this.#server.closeAllConnections();
        this.#server.close();
    }

    /** As `kill -9` and a start: it knows no session. */
    restart() {
        this.sessions.clear();
        this.#server.closeAllConnections();
    }

    /** It does not answer until `back`. */
    down() {
        this.isDown = true;
        this.#server.closeAllConnections();
    }

    back() {
        this.isDown = false;
    }

    get newest() {
        return [...this.sessions.values()].at(-1);
    }

    /** @param {string} what @param {number} status @param {object} [document] @param {object} [headers] */
    break(what, status, document = {}, headers = {}) {
        this.faults.push([what, status, document, headers]);
    }

    async #answer(request, response) {
        if (this.isDown) return request.socket.destroy();
        const url = new URL(request.url, this.url);
        const [, , id, below] = url.pathname.split('/');
        const what = this.#what(request.method, id, below, url.searchParams);
        this.asked.push(what);
        const chunks = [];
        for await (const chunk of request) chunks.push(chunk);
        const body = Buffer.concat(chunks);
        const fault = this.faults.findIndex(([broken]) => broken === what);
        if (fault >= 0) return say(response, ...this.faults.splice(fault, 1)[0].slice(1));
        if (what === 'create') return say(response, 201, this.#create(JSON.parse(body).config));
        const session = this.sessions.get(id);
        if (!session) return say(response, 404, { code: 'session_not_found', detail: 'There is no such session.' });
        this[`_${what}`](session, response, request, body);
    }

    #what(method, id, below, query) {
        if (!id) return 'create';
        if (method === 'DELETE') return query.has('purge') ? 'purge' : 'finish';
        return below ?? 'describe';
    }

    #create(config) {
        const session = new Session(`sess_${++this.#count}`, { sample_rate: 16_000, channels: 1, encoding: 'auto', ...config });
        session.isMute = this.isMute;
        this.sessions.set(session.id, session);
        return { session_id: session.id, status: 'open', engine: 'clock', config: session.config };
    }

    _describe(session, response) {
        const { config } = session;
        say(response, 200, { ...session.document, offset: session.audio.length, last_event_id: session.events.length, config });
    }

    _audio(session, response, request, body) {
        if (session.reason) return say(response, 409, { code: 'session_ended', detail: session.reason });
        const offset = Number(request.headers['upload-offset']);
        if (offset > session.audio.length) {
            return say(response, 409, { code: 'offset_mismatch', offset: session.audio.length });
        }
        session.append(body.subarray(session.audio.length - offset));
        say(response, 200, { offset: session.audio.length });
    }

    _flush(session, response) {
        if (session.reason) say(response, 409, { code: 'session_ended', detail: session.reason });
        else say(response, 202, session.flush());
    }

    _finish(session, response) {
        session.end('finished');
        say(response, 200, session.document);
    }

    _purge(session, response) {
        this.sessions.delete(session.id);
        session.end('purged');
        say(response, 204);
    }

    _transcript(session, response) {
        say(response, 200, session.document);
    }

    _stream(session, response, request) {
        const url = new URL(request.url, this.url);
        let after = Number(request.headers['last-event-id'] ?? url.searchParams.get('last_event_id') ?? 0);
        if (session.reason && after === session.events.length) return say(response, 204);
        response.writeHead(200, { 'Content-Type': 'text/event-stream' });
        const tell = (event, id = '') => response.write(`${id && `id: ${id}\n`}data: ${JSON.stringify(event)}\n\n`);
        const tellNew = () => {
            while (after < session.events.length) tell(session.events[after++], after);
            if (session.reason) response.end();
        };
        const beat = setInterval(() => tell({ event_type: 'heartbeat', data: { status: 'alive' } }), HEARTBEAT_MS);
        session.readers.add(tellNew);
        response.on('close', () => {
            clearInterval(beat);
            session.readers.delete(tellNew);
        });
        response.write('retry: 10\n\n');
        tellNew();
    }
}

function say(response, status, document, headers = {}) {
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
    response.end(document && status !== 204 ? JSON.stringify(document) : undefined);
}
