// The microphone of the Streamlit app: a button, a level, and what is being said. The recording itself is the speech
// server's own stt-client.js, so that there is one copy of it.

import { connect, setValue } from './streamlit.js';

const SHOWN_WAITING_SECONDS = 2;
const LOUD = 0.25; // RMS of someone who speaks right into the microphone

const element = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
/** @type {any} */
let args = null;
let attempts = 0;
/** @type {'idle' | 'starting' | 'recording' | 'finishing'} */
let state = 'idle';
/** @type {import('../../../server/web/recording.js').Recording | null} */
let recording = null;
let started = 0;

connect((received) => {
    args = received;
    document.documentElement.lang = args.language;
    element('live').dataset.hint = args.texts.live;
    element('meter').setAttribute('aria-label', args.texts.level);
    showState();
});

element('toggle').addEventListener('click', () => {
    if (state === 'idle') start();
    else if (state === 'recording') finish();
    else giveUp();
});

window.addEventListener('beforeunload', (event) => {
    if (state !== 'idle') event.preventDefault(); // the browser asks, for a page that goes takes the recording with it
});

async function start() {
    become('starting');
    say('problem', '');
    say('live', '');
    const { server_url: url, api_key: apiKey, config } = args;
    try {
        const { Recording, STTClient } = await library(url);
        recording = new Recording(new STTClient(url, { apiKey }), config);
        listenTo(recording, url);
        await recording.open();
        started = Date.now();
        become('recording');
    } catch (error) {
        if (recording?.isCancelled) stop();
        else await fail(error);
    }
}

/**
 * The server's own module; a browser remembers one that failed to load by its address.
 * @param {string} url
 * @returns {Promise<typeof import('../../../server/web/stt-client.js')>}
 */
async function library(url) {
    const address = `${url}/web/stt-client.js${attempts++ ? `?try=${attempts}` : ''}`;
    try {
        const loaded = await import(address);
        attempts = 0;
        return loaded;
    } catch {
        throw Object.assign(new Error(address), { code: 'script_missing' });
    }
}

/** @param {import('../../../server/web/recording.js').Recording} current @param {string} url */
function listenTo(current, url) {
    on(current, current, {
        session: (session) => listenToSession(current, session, url),
        waiting: ({ code }) => say('problem', args.texts[code] ?? args.texts.server_away),
        level: showLevel,
        unplugged: finish,
        refused: (error) => fail(error),
    });
}

/**
 * @param {import('../../../server/web/recording.js').Recording} current
 * @param {import('../../../server/web/stt-session.js').STTSession} session @param {string} url
 */
function listenToSession(current, session, url) {
    const speaking = (/** @type {boolean} */ isSpeaking) => (document.body.dataset.speaking = `${isSpeaking}`);
    say('problem', '');
    setValue({ session_id: session.id, server_url: url });
    on(session, current, {
        reopened: ({ sessionId }) => {
            setValue({ session_id: sessionId, server_url: url });
            say('problem', args.texts.restarted);
        },
        token: ({ text }) => say('live', text),
        final: ({ text }) => {
            say('live', text); // until the next words come; the transcript has it for good
            say('said', text);
        },
        speech_start: () => speaking(true),
        speech_end: () => speaking(false),
        connection: showState,
        progress: showState,
        failed: (error) => state !== 'finishing' && fail(error), // `finish` hears of it by itself
    });
}

/**
 * @param {EventTarget} target @param {unknown} current
 * @param {Record<string, (detail: any) => void>} reactions by the type of an event
 */
function on(target, current, reactions) {
    for (const [type, react] of Object.entries(reactions)) {
        target.addEventListener(type, (event) => {
            if (current === recording) react(/** @type {CustomEvent} */ (event).detail);
        });
    }
}

async function finish() {
    if (state !== 'recording') return;
    become('finishing');
    try {
        await recording?.finish();
        stop();
    } catch (error) {
        if (/** @type {any} */ (error).code === 'closed') stop();
        else await fail(error);
    }
}

/** What the server has recognised so far stays in the app. */
async function giveUp() {
    const given = recording;
    if (state === 'starting') return given?.cancel();
    stop();
    await given?.leave();
}

function stop() {
    say('problem', ''); // that the server was restarted is of no use any more
    reset();
}

/** @param {any} error */
async function fail(error) {
    const { texts } = args;
    const sentence = texts[error.code] ?? texts.session_refused;
    say('problem', error.code in texts ? sentence : `${sentence} ${error.message}`);
    const failed = recording;
    reset();
    await failed?.leave();
}

function reset() {
    recording = null;
    document.body.dataset.speaking = 'false';
    showLevel(0);
    say('live', '');
    become('idle');
}

/** @param {typeof state} next */
function become(next) {
    state = next;
    document.body.dataset.state = state;
    showState();
}

function showState() {
    if (!args) return;
    const { texts } = args;
    const labels = { idle: texts.start, starting: texts.give_up, recording: texts.stop, finishing: texts.give_up };
    element('toggle').textContent = labels[state];
    say('state', sentence(texts));
    element('toggle').disabled = false;
}

/** @param {Record<string, string>} texts */
function sentence(texts) {
    const session = recording?.session;
    if (!session || state === 'starting') return texts[state];
    const waiting = session.waitingSeconds;
    const kept = waiting > SHOWN_WAITING_SECONDS ? texts.kept.replace('{seconds}', `${Math.round(waiting)}`) : '';
    const away = session.online ? '' : texts.away;
    const elapsed = state === 'recording' ? clock((Date.now() - started) / 1000) : '';
    return [texts[state], elapsed, away, kept].filter(Boolean).join(' · ');
}

/** @param {number} level RMS from 0 to 1 */
function showLevel(level) {
    const percent = Math.round(100 * Math.min(1, Math.sqrt(level / LOUD)));
    element('meter').setAttribute('aria-valuenow', percent);
    element('meter').firstElementChild.style.width = `${percent}%`;
}

/** @param {string} id @param {string} text */
function say(id, text) {
    if (element(id).textContent !== text) element(id).textContent = text;
}

/** @param {number} seconds */
function clock(seconds) {
    return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
}
