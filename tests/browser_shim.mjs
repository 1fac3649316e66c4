// What a page has and Node 20 lacks: EventSource, and addresses relative to the server (process.env.STT_URL).
import { readFile } from 'node:fs/promises';

const nodeFetch = globalThis.fetch;
globalThis.fetch = (url, options) => nodeFetch(new URL(url, process.env.STT_URL), options);

// As in HTML's living standard: reconnects after a cut with Last-Event-ID, gives up on any answer but 200.
globalThis.EventSource = class {
    constructor(url) {
        this.url = url;
        this.readyState = 0;
        this.lastEventId = '';
        this.retry = 3000;
        this.stop = new AbortController();
        this.run();
    }

    close() {
        this.readyState = 2;
        this.stop.abort();
    }

    async run() {
        while (this.readyState !== 2) {
            await this.read().catch(() => {});
            if (this.readyState === 2) return;
            this.readyState = 0;
            this.onerror?.({ type: 'error' });
            await new Promise((resume) => setTimeout(resume, this.retry));
        }
    }

    async read() {
        const headers = this.lastEventId ? { 'Last-Event-ID': this.lastEventId } : {};
        const answer = await fetch(this.url, { headers, signal: this.stop.signal });
        if (answer.status !== 200) return this.close();
        this.readyState = 1;
        let text = '';
        for await (const part of answer.body.pipeThrough(new TextDecoderStream())) {
            const frames = (text + part).split('\n\n');
            text = frames.pop();
            frames.forEach((frame) => this.dispatch(frame));
        }
    }

    dispatch(frame) {
        const fields = Object.fromEntries(frame.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2)));
        if ('id' in fields) this.lastEventId = fields.id;
        if ('retry' in fields) this.retry = Number(fields.retry);
        if ('data' in fields) this.onmessage?.({ type: 'message', data: fields.data, lastEventId: this.lastEventId });
    }
};

// The recording that a page would have from its microphone: PCM16 without the WAV's header.
globalThis.pcm16Buffer = new Uint8Array(await readFile('samples/ko.wav')).slice(44).buffer;
