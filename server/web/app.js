// The page: its controls, what it says, and the activity that is going on.

import { Awake } from './awake.js';
import { listenForDrop } from './drop.js';
import { FileUpload } from './file-upload.js';
import { recall } from './memory.js';
import { Meter } from './meter.js';
import { Notice } from './notice.js';
import { Settings } from './settings.js';
import { Recording, STTClient } from './stt-client.js';
import { listenForTalk } from './talk-key.js';
import { has, language as pageLanguage, speak, text } from './texts.js';
import { copy, save } from './take-away.js';
import { minutes, Transcript } from './transcript.js';

const $ = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const all = (/** @type {string} */ selector) => /** @type {NodeListOf<any>} */ (document.querySelectorAll(selector));
const server = new URL('.', document.baseURI);
const CUT_SECONDS = 1.5;
const AUDIO = /^(audio\/.*|video\/.*|application\/ogg|)$/; // nothing: the browser does not know the ending
const REOPENED_SECONDS = 6;
const WAITING_SECONDS = 2; // what is on its way is not worth mentioning

const transcript = new Transcript({ scroll: $('transcript'), list: $('finals'), interim: $('interim') });
const meter = new Meter($('meter'));
const awake = new Awake();
const messages = new Notice({ box: $('notice'), remedy: $('remedy'), dismiss: $('dismiss'), next: $('record') });
const settings = new Settings({ language: $('language'), engine: $('engine') });
let client = new STTClient(server, { apiKey: recall('key') ?? undefined });
let info = /** @type {import('./stt-wire.js').JSONObject | null} */ (null);
let isReachable = /** @type {boolean | null} */ (null); // not known yet
let activity = /** @type {Recording | FileUpload | null} */ (null);
let base = 0; // seconds of the whole at which the activity begins
let isTalk = false; // push-to-talk: what is said while nothing is held is left out
let isHeld = false;
let isWaiting = false;
let isSpeech = false;
let lastError = /** @type {import('./stt-wire.js').JSONObject | null} */ (null); // the newest one that ends a session

const elapsed = () => base + (activity?.seconds ?? 0);

/** Clear words for what went wrong. @param {any} error @param {() => void} [again] */
function explain(error, again) {
    if (error.code === 'server_away') isReachable = false;
    const way = again ? { label: 'again', action: again } : null;
    const values = {
        detail: error.message,
        address: `http://localhost:${location.port || 80}${location.pathname}`,
    };
    if (error.status === 401) {
        all('.key')[0].hidden = false;
        messages.say('unauthorized', values, way);
    } else if (error.name !== 'STTError') {
        messages.say('unreadable');
    } else {
        messages.say(has(error.code) ? error.code : 'refused', values, error.code === 'insecure_origin' ? null : way);
    }
}

function render() {
    const phase = activity?.phase ?? 'over';
    const isFile = activity instanceof FileUpload;
    const labels = {
        over: 'record',
        starting: isWaiting ? 'cancel' : 'starting',
        running: isFile ? 'cancel' : 'stop',
        finishing: activity?.session?.online ? 'finishing' : 'cancel',
    };
    const label = labels[phase];
    document.body.dataset.phase = isFile && phase !== 'over' ? 'file' : phase;
    $('record').querySelector('.label').textContent = text(label);
    $('record').dataset.on = phase !== 'over';
    // not `disabled`, here and elsewhere: it would take the focus away from whoever uses the keyboard
    $('record').setAttribute('aria-disabled', label === 'starting' || label === 'finishing');
    for (const control of [$('language'), $('engine'), $('file')]) control.disabled = phase !== 'over';
    for (const button of all('[data-format], #copy')) button.disabled = transcript.isEmpty;
    $('clear').disabled = transcript.isEmpty || phase !== 'over';
    $('empty').hidden = !transcript.isEmpty || phase !== 'over';
    $('shades').hidden = !transcript.hasConfidence;
    $('elapsed').textContent = minutes(elapsed());
    renderTalk(phase);
    renderConnection(phase);
    renderProgress(phase);
}

/** @param {import('./recording.js').Phase} phase */
function renderTalk(phase) {
    const isOrdinary = phase === 'running' && !isTalk;
    const [words, key] = $('talk').children;
    words.textContent = text(isOrdinary ? 'flush' : isHeld ? 'talking' : 'talk');
    key.textContent = text(isOrdinary ? 'enter_key' : 'space_key');
    $('talk').dataset.on = isHeld;
    const isUsable = isHeld || isOrdinary || isHoldable();
    $('talk').setAttribute('aria-disabled', !isUsable || activity instanceof FileUpload && phase !== 'over');
}

/** @param {import('./recording.js').Phase} phase */
function renderConnection(phase) {
    const session = phase === 'over' ? null : activity?.session;
    const online = session && !session.failure ? session.online : navigator.onLine && isReachable;
    $('connection').dataset.online = online;
    const said = online === null ? '' : text(online ? 'online' : 'offline');
    if ($('connection').textContent !== said) $('connection').textContent = said;
    const waiting = session?.waitingSeconds ?? 0;
    const isMentioned = session && (!session.online || session.failure || waiting >= WAITING_SECONDS) && waiting > 0;
    $('waiting').textContent = isMentioned ? text('waiting', { seconds: Math.round(waiting) }) : '';
    $('speech').hidden = phase !== 'running' || activity instanceof FileUpload || !online || Boolean(session?.failure);
    $('speech').dataset.on = isSpeech;
    const isPaused = isTalk && !isHeld && !isSpeech;
    $('speech').lastElementChild.textContent = text(isPaused ? 'muted' : isSpeech ? 'speaking' : 'silent');
}

/** @param {import('./recording.js').Phase} phase */
function renderProgress(phase) {
    const file = activity instanceof FileUpload && phase !== 'over' ? activity : null;
    $('progress').hidden = !file;
    if (!file) return;
    const [label, bar, output] = $('progress').children;
    label.textContent = text('uploading', { name: file.file.name });
    bar.value = file.fraction;
    output.textContent = `${Math.floor(file.fraction * 100)} %`;
}

/** Have the page follow an activity to its end. @param {Recording | FileUpload} started */
function follow(started) {
    base = elapsed();
    activity = started;
    isSpeech = isWaiting = false;
    lastError = null;
    messages.dismiss();
    const target = /** @type {EventTarget} */ (started);
    on(target, started, {
        session: (session) => {
            isReachable = true;
            isWaiting = false;
            transcript.begin(session, base);
            messages.dismiss();
            listenTo(session, started);
        },
        waiting: ({ code }) => {
            isWaiting = true;
            const key = code === 'too_many_sessions' ? 'waiting_for_place' : 'waiting_for_server';
            messages.say(key, {}, { label: 'stop_waiting', action: () => started.cancel() });
        },
        refused: () => {
            messages.say('buffer_full');
            finish(started);
        },
        unplugged: () => {
            messages.say('microphone_ended');
            finish(started);
        },
        progress: () => {},
        phase: (phase) => onPhase(started, phase),
    });
    target.addEventListener('level', (event) => started === activity && meter.push(/** @type {any} */ (event).detail, isSpeech));
    render();
}

/** @param {import('./stt-session.js').STTSession} session @param {Recording | FileUpload} started */
function listenTo(session, started) {
    on(session, started, {
        token: ({ text: words }) => transcript.interim(words),
        final: (final) => transcript.final(final),
        speech_start: () => (isSpeech = true),
        speech_end: () => (isSpeech = false),
        connection: ({ online }) => onConnection(started, online),
        error: (error) => onError(error),
        failed: (error) => onFailed(started, error),
        progress: () => {},
        reopened: () => {
            isSpeech = false;
            transcript.interim('');
            messages.say('reopened');
            setTimeout(() => messages.key === 'reopened' && messages.dismiss(), REOPENED_SECONDS * 1000);
        },
    });
}

/**
 * @param {EventTarget} target @param {Recording | FileUpload} started
 * @param {Record<string, (detail: any) => void>} reactions by the type of an event; what has passed meanwhile is shown then
 */
function on(target, started, reactions) {
    for (const [type, react] of Object.entries(reactions)) {
        target.addEventListener(type, (event) => {
            if (started !== activity) return;
            react(/** @type {CustomEvent} */ (event).detail);
            render();
        });
    }
}

/** @param {Recording | FileUpload} started @param {import('./recording.js').Phase} phase */
function onPhase(started, phase) {
    awake.keep(phase === 'running' || phase === 'finishing');
    if (phase !== 'over') return;
    isSpeech = isTalk = isHeld = isWaiting = false;
    transcript.interim('');
    meter.clear();
    if (owes() && started.session?.failure) onFailed(started, started.session.failure); // again: the message may have been closed
}

/** Whether a recording has ended with audio that no session has recognised. */
function owes() {
    return activity instanceof Recording && activity.phase === 'over' && Boolean(activity.session?.failure);
}

/** A stream that is cut and comes back at once is not worth a word. @param {Recording | FileUpload} started @param {boolean} online */
function onConnection(started, online) {
    isReachable = online;
    if (online && messages.key?.startsWith('away')) messages.dismiss();
    if (online || started instanceof FileUpload) return;
    setTimeout(() => {
        const { session, phase } = started;
        if (phase === 'over' || started !== activity || !session || session.online || session.failure) return;
        messages.say(phase === 'running' ? 'away' : 'away_at_end');
        render();
    }, CUT_SECONDS * 1000);
}

/** An `error` event: the session goes on, or tells how it ended. @param {import('./stt-wire.js').JSONObject} error */
function onError({ code, recoverable, engine, message }) {
    if (recoverable) messages.say(has(code) ? code : 'refused', { engine, detail: message });
    else lastError = { code, detail: message };
}

/** @param {Recording | FileUpload} started @param {import('./stt-wire.js').STTError} error */
function onFailed(started, error) {
    if (!(started instanceof Recording) || !started.session) return; // `open` raises it
    const { code, detail } = lastError ?? {};
    isSpeech = false;
    transcript.interim('');
    const seconds = Math.ceil(started.session.unrecognized().audio.length / 32_000);
    const own = error.retryable ? 'gave_up' : has(error.code) ? error.code : 'refused';
    const { reason } = error.document;
    const values = { seconds, detail: detail ?? error.message, reason: has(reason) ? text(reason) : reason };
    const way = { label: error.retryable ? 'again' : 'go_on', action: () => goOn(started) };
    messages.say(has(code) ? code : own, values, way);
}

/** Have the session try again, as a person wants it. @param {Recording} started */
function goOn(started) {
    lastError = null;
    messages.dismiss();
    started.session?.resume();
    if (started.phase === 'over') finish(started);
    render();
}

/** @param {Recording | FileUpload} started */
function finish(started) {
    if (started instanceof Recording) started.finish().catch(() => {}); // `failed` has told it
}

async function record() {
    if (owes() && !confirm(text('owed_first'))) return;
    const recording = new Recording(client, settings.config);
    follow(recording);
    try {
        await recording.open();
    } catch (error) {
        if (recording.isCancelled) messages.dismiss();
        else explain(error, record);
    }
    render();
}

/** Whether Space and the button talk while they are held. */
function isHoldable() {
    const phase = activity?.phase ?? 'over';
    return phase === 'over' || (isTalk && phase !== 'finishing');
}

function hold() {
    const isNew = !activity || activity.phase === 'over';
    isHeld = true;
    if (isNew) record();
    isTalk = activity instanceof Recording && activity.phase !== 'over';
    isHeld = isTalk;
    if (activity instanceof Recording) activity.unmute();
    render();
}

function release() {
    isHeld = false;
    render();
    if (isTalk && activity instanceof Recording) activity.mute().then(flush);
}

/** The text of what was said so far, now. */
function flush() {
    if (!(activity instanceof Recording) || activity.phase === 'over') return;
    activity.flush().catch((error) => {
        // what ends the session, or the recording, is told elsewhere
        if (error.code === 'not_found') messages.say('refused', { detail: error.message });
    });
}

/** @param {File | undefined} file */
async function transcribe(file) {
    if (!file) return;
    if (activity && activity.phase !== 'over') return messages.say('one_at_a_time');
    if (!file.size || !AUDIO.test(file.type)) return messages.say('no_audio', { name: file.name });
    if (!transcript.isEmpty && !confirm(text('clear_first'))) return;
    clear();
    const upload = new FileUpload(client, settings.config, file);
    follow(upload);
    try {
        await upload.open();
    } catch (error) {
        if (!upload.isCancelled) explainFile(error, () => transcribe(file));
        else messages.dismiss();
    }
    render();
}

/** @param {any} error @param {() => void} again */
function explainFile(error, again) {
    const way = { label: 'again', action: again };
    const { code } = lastError ?? {};
    if (code === 'undecodable_audio') messages.say(code, lastError ?? {});
    else if (has(code)) messages.say(code, lastError ?? {}, way);
    else if (error.code === 'session_lost') messages.say('file_lost', {}, way);
    else explain(error, again);
}

function press() {
    const phase = activity?.phase ?? 'over';
    if ($('record').getAttribute('aria-disabled') === 'true') return;
    if (phase === 'over') record();
    else if (phase === 'running' && activity instanceof Recording) finish(activity);
    else activity?.cancel();
}

function clear() {
    transcript.clear();
    activity = null;
    base = 0;
    messages.dismiss();
    render();
}

async function loadInfo() {
    try {
        info = await client.info();
        isReachable = true;
        if (messages.remedy === loadInfo) messages.dismiss(); // whatever else is said stays
    } catch (error) {
        explain(error, loadInfo);
    }
    settings.fill(info?.engines);
    render();
}

$('record').onclick = (/** @type {MouseEvent} */ { detail: clicks }) => {
    if (clicks) $('record').blur(); // after a click Space and Enter are for what is said
    press();
};
listenForTalk($('talk'), { isHoldable, hold, release, flush });
$('copy').onclick = async () => {
    await copy(transcript.text(), $('finals'));
    $('copy').textContent = text('copied');
    setTimeout(() => ($('copy').textContent = text('copy')), 2000);
};
$('clear').onclick = () => {
    if (!confirm(text('clear_first'))) return;
    $('record').focus();
    clear();
};
$('file').onchange = () => {
    transcribe($('file').files[0]);
    $('file').value = '';
};
$('key').onchange = () => {
    client = new STTClient(server, { apiKey: $('key').value || undefined });
    loadInfo();
};
for (const button of all('[data-format]')) {
    button.onclick = async () => save(await transcript.file(button.dataset.format), button.dataset.format);
}
for (const button of all('[data-language]')) {
    button.onclick = () => {
        speak(button.dataset.language);
        settings.fill(info?.engines);
        messages.translate();
        render();
    };
}

listenForDrop($('drop'), transcribe);
for (const type of ['online', 'offline']) addEventListener(type, render);
addEventListener('beforeunload', (event) => {
    if ((activity && activity.phase !== 'over') || owes()) event.preventDefault();
});

speak(pageLanguage);
settings.fill();
render();
loadInfo();
