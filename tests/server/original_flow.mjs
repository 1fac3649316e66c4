// The four steps of the original quick start, unchanged, and what they stand on in Node and in a browser.
// STT_URL=http://127.0.0.1:8001 node --import ./browser_shim.mjs original_flow.mjs

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

if (globalThis.process?.argv[1]?.endsWith('original_flow.mjs')) {
    const { eventSource } = await originalFlow({ fetch, EventSource, console, base64EncodeAudio, pcm16Buffer });
    await new Promise((resolve) => {
        eventSource.onerror = () => eventSource.readyState === EventSource.CLOSED && resolve();
    });
    console.log('끝');
}
