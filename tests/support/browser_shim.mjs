// What a page has and Node lacks: EventSource, and addresses relative to the server (process.env.STT_URL).
import { readFile } from 'node:fs/promises';

import { FetchEventSource } from '../../server/web/event-source.js';

const nodeFetch = globalThis.fetch;
globalThis.fetch = (url, options) => nodeFetch(new URL(url, process.env.STT_URL), options);
globalThis.EventSource = FetchEventSource;

// The recording that a page would have from its microphone: PCM16 without the WAV's header.
globalThis.pcm16Buffer = new Uint8Array(await readFile('samples/ko.wav')).slice(44).buffer;
