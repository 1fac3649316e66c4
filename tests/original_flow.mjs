// The four steps of the original quick start, unchanged, and what they stand on in Node and in a browser.
// node original_flow.mjs http://127.0.0.1:8001 speech.wav

const WAV_HEADER_BYTES = 44;

/** `fetch` and `EventSource` are given so that the paths below need no host; the author's page was on the server's. */
export async function originalFlow({ fetch, EventSource, console, base64EncodeAudio, pcm16Buffer }) {
// 1. 세션 생성
const session = await fetch('/sessions', { method: 'POST' });
const { session_id, stream_url } = await session.json();

// 2. 실시간 스트리밍 연결
const eventSource = new EventSource(`/sessions/${session_id}/stream`);
eventSource.onmessage = (event) => {
    const data = JSON.parse(event.data);
    if (data.event_type === 'token') {
        console.log('실시간 토큰:', data.data.text);
    } else if (data.event_type === 'final') {
        console.log('최종 결과:', data.data.text);
    }
};

// 3. 오디오 업로드
const audioData = base64EncodeAudio(pcm16Buffer);
await fetch(`/sessions/${session_id}/audio`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ audio_data: audioData })
});

// 4. 세션 종료
await fetch(`/sessions/${session_id}`, { method: 'DELETE' });

    return { eventSource, session_id, stream_url };
}

/** As the author's page would have it: bytes to base64 with what a browser has. */
export function base64EncodeAudio(buffer) {
    return btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(''));
}

export function pcmOf(wav) {
    return wav.slice(WAV_HEADER_BYTES);
}

/** The HTML standard's EventSource over `fetch`, which Node 20 has not: reconnects with the last id until a non-200. */
class MinimalEventSource {
    static CLOSED = 2;

    constructor(url) {
        Object.assign(this, { url, readyState: 0, retry: 3000, lastEventId: '', onmessage: null });
        this.ended = this.run();
    }

    async run() {
        while (this.readyState !== MinimalEventSource.CLOSED) {
            const headers = { Accept: 'text/event-stream', 'Cache-Control': 'no-store' };
            if (this.lastEventId) headers['Last-Event-ID'] = this.lastEventId;
            const answer = await fetch(this.url, { headers });
            if (answer.status !== 200) {
                this.readyState = MinimalEventSource.CLOSED;
                return answer.status;
            }
            this.readyState = 1;
            await this.read(answer.body.pipeThrough(new TextDecoderStream()));
            this.readyState = 0;
            await new Promise((wake) => setTimeout(wake, this.retry));
        }
    }

    async read(texts) {
        let [rest, data] = ['', []];
        for await (const text of texts) {
            const lines = (rest + text).split(/\r\n|\r|\n/);
            rest = lines.pop();
            for (const line of lines) {
                const [, field, value] = /^([^:]*)(?:: ?(.*))?$/.exec(line);
                if (field === 'data') data.push(value);
                else if (field === 'id') this.lastEventId = value;
                else if (field === 'retry' && /^\d+$/.test(value)) this.retry = Number(value);
                else if (line === '' && data.length) this.onmessage?.({ data: data.splice(0).join('\n') });
            }
        }
    }
}

if (globalThis.process?.argv[2]) {
    const { readFile } = await import('node:fs/promises');
    const [server, wav] = process.argv.slice(2);
    const { eventSource } = await originalFlow({
        fetch: (path, options) => fetch(new URL(path, server), options),
        EventSource: class extends MinimalEventSource {
            constructor(path) {
                super(new URL(path, server));
            }
        },
        console,
        base64EncodeAudio,
        pcm16Buffer: pcmOf(await readFile(wav)),
    });
    console.log('끝:', await eventSource.ended);
}
