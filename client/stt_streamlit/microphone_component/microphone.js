// The microphone of the Streamlit app: a button, a level, and what is being said.

import { Recording } from './recording.js';
import { connect, setValue } from './streamlit.js';

const SHOWN_WAITING_SECONDS = 2;
const LOUD = 0.25; // RMS of someone who speaks right into the microphone

const element = (id) => document.getElementById(id);
let args = null;
let attempts = 0;
/** idle → starting → recording → finishing → idle */
let state = 'idle';
let recording = null;

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
    else if (state === 'finishing') giveUp();
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
        recording = await Recording.prepare(await library(url), url, { apiKey }, config);
        listenTo(recording, url);
        await recording.open();
        become('recording');
    } catch (error) {
        await fail(error);
    }
}

/** The server's own module; a browser remembers one that failed to load by its address. */
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

function listenTo(current, url) {
    const on = (type, act) => current.addEventListener(type, ({ detail }) => current === recording && act(detail));
    on('session', (id) => setValue({ session_id: id, server_url: url }));
    on('restarted', () => say('problem', args.texts.restarted));
    on('token', ({ text }) => say('live', text));
    on('final', ({ text }) => {
        say('live', text); // until the next words come; the transcript has it for good
        say('said', text);
    });
    on('speaking', (speaking) => (document.body.dataset.speaking = speaking));
    on('level', showLevel);
    on('change', showState);
    on('unplugged', finish);
    on('failed', (error) => state !== 'finishing' && fail(error)); // `finish` hears of it by itself
}

async function finish() {
    if (state !== 'recording') return;
    become('finishing');
    try {
        await recording.finish();
        stop();
    } catch (error) {
        if (error.code === 'closed') stop();
        else await fail(error);
    }
}

async function giveUp() {
    await recording.abandon();
    stop();
}

function stop() {
    say('problem', ''); // that the server was restarted is of no use any more
    reset();
}

async function fail(error) {
    const { texts } = args;
    const sentence = texts[error.code] ?? texts.session_refused;
    say('problem', error.code in texts ? sentence : `${sentence} ${error.message}`);
    const failed = recording;
    reset();
    await failed?.abandon();
}

function reset() {
    recording = null;
    document.body.dataset.speaking = false;
    showLevel(0);
    say('live', '');
    become('idle');
}

function become(next) {
    state = next;
    document.body.dataset.state = state;
    showState();
}

function showState() {
    if (!args) return;
    const { texts } = args;
    const labels = { idle: texts.start, starting: texts.start, recording: texts.stop, finishing: texts.give_up };
    element('toggle').textContent = labels[state];
    element('toggle').disabled = state === 'starting';
    say('state', sentence(texts));
}

function sentence(texts) {
    if (!recording || state === 'starting') return texts[state];
    const waiting = recording.waitingSeconds;
    const kept = waiting > SHOWN_WAITING_SECONDS ? texts.kept.replace('{seconds}', Math.round(waiting)) : '';
    const away = recording.online ? '' : texts.away;
    const elapsed = state === 'recording' ? clock((Date.now() - recording.started) / 1000) : '';
    return [texts[state], elapsed, away, kept].filter(Boolean).join(' · ');
}

function showLevel(level) {
    const percent = Math.round(100 * Math.min(1, Math.sqrt(level / LOUD)));
    element('meter').setAttribute('aria-valuenow', percent);
    element('meter').firstElementChild.style.width = `${percent}%`;
}

function say(id, text) {
    if (element(id).textContent !== text) element(id).textContent = text;
}

function clock(seconds) {
    return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
}
