// The page: its controls, what it says, and the activity that is going on.

import { FileUpload, Recording } from './activity.js';
import { recall } from './memory.js';
import { Meter } from './meter.js';
import { Settings } from './settings.js';
import { STTClient } from './stt-client.js';
import { has, language as pageLanguage, speak, text } from './texts.js';
import { minutes, Transcript } from './transcript.js';

const $ = (id) => document.getElementById(id);
const server = new URL('.', document.baseURI);
const CUT_SECONDS = 1.5;
const AUDIO = /^(audio\/.*|video\/.*|application\/ogg|)$/; // nothing: the browser does not know the ending
const WAITING_SECONDS = 2; // what is on its way is not worth mentioning

const transcript = new Transcript({ scroll: $('transcript'), list: $('finals'), interim: $('interim') });
const meter = new Meter($('meter'));
const settings = new Settings({ language: $('language'), engine: $('engine') });
let client = new STTClient(server, { apiKey: recall('key') ?? undefined });
let info = null;
let isReachable = null; // not known yet
let activity = null;
let elapsed = 0;
let isSpeech = false;
let wakeLock = null;
let remedy = null;
let shown = null;

// --- what the page says ---------------------------------------------------------------------------------------------

/** @param {string} key of a text @param {object} [values] @param {{label: string, action: () => void}} [way] out */
function notice(key, values, way = null) {
    shown = { key, again: () => notice(key, values, way) };
    remedy = way?.action ?? null;
    $('notice').firstElementChild.textContent = text(key, values);
    $('notice').hidden = false;
    $('remedy').hidden = !way;
    $('remedy').textContent = way ? text(way.label) : '';
}

function dismiss() {
    if ($('notice').contains(document.activeElement)) $('record').focus(); // what is hidden can't keep it
    $('notice').hidden = true;
    shown = null;
}

/** Clear words for what went wrong. @param {Error} error @param {() => void} [again] */
function explain(error, again) {
    if (error.code === 'server_away') isReachable = false;
    const way = again && { label: 'again', action: again };
    const values = {
        detail: error.message,
        seconds: error.retryAfter || 5,
        address: `http://localhost:${location.port || 80}${location.pathname}`,
    };
    if (error.status === 401) {
        document.querySelector('.key').hidden = false;
        notice('unauthorized', values, way);
    } else if (error.name !== 'STTError') {
        notice('unreadable');
    } else {
        notice(has(error.code) ? error.code : 'refused', values, error.code === 'insecure_origin' ? null : way);
    }
}

function render() {
    const phase = activity?.phase ?? 'over';
    const isFile = activity instanceof FileUpload;
    const [label, isOn] = {
        over: ['record', false],
        starting: ['starting', true],
        running: [isFile ? 'cancel' : 'stop', true],
        finishing: [activity?.session?.online ? 'finishing' : 'cancel', true],
    }[phase];
    document.body.dataset.phase = isFile && phase !== 'over' ? 'file' : phase;
    $('record').querySelector('.label').textContent = text(label);
    $('record').dataset.on = isOn;
    // not `disabled`, here and elsewhere: it would take the focus away from whoever uses the keyboard
    $('record').setAttribute('aria-disabled', label === 'starting' || label === 'finishing');
    for (const control of [$('language'), $('engine'), $('file')]) control.disabled = phase !== 'over';
    for (const button of document.querySelectorAll('[data-format], #copy')) button.disabled = transcript.isEmpty;
    $('clear').disabled = transcript.isEmpty || phase !== 'over';
    $('empty').hidden = !transcript.isEmpty || phase !== 'over';
    $('shades').hidden = !transcript.hasConfidence;
    $('elapsed').textContent = minutes(elapsed);
    renderConnection(phase);
    renderProgress(isFile && phase !== 'over');
}

function renderConnection(phase) {
    const session = phase === 'over' ? null : activity.session;
    const online = session && !session.failure ? session.online : navigator.onLine && isReachable;
    $('connection').dataset.online = online;
    const said = online === null ? '' : text(online ? 'online' : 'offline');
    if ($('connection').textContent !== said) $('connection').textContent = said;
    const waiting = session?.waitingSeconds ?? 0;
    const isWaiting = session && (!session.online || session.failure || waiting >= WAITING_SECONDS) && waiting > 0;
    $('waiting').textContent = isWaiting ? text('waiting', { seconds: Math.round(waiting) }) : '';
    $('speech').hidden = phase !== 'running' || activity instanceof FileUpload || !online || Boolean(session.failure);
    $('speech').dataset.on = isSpeech;
    $('speech').lastElementChild.textContent = text(isSpeech ? 'speaking' : 'silent');
}

function renderProgress(isShown) {
    $('progress').hidden = !isShown;
    if (!isShown) return;
    const [label, bar, output] = $('progress').children;
    label.textContent = text('uploading', { name: activity.file.name });
    bar.value = activity.fraction;
    output.textContent = `${Math.floor(activity.fraction * 100)} %`;
}

// --- what goes on ---------------------------------------------------------------------------------------------------

/** Have the page follow an activity to its end. */
function follow(started) {
    activity = started;
    isSpeech = false;
    dismiss();
    const on = (type, react, show = render) =>
        started.addEventListener(type, ({ detail }) => {
            if (started !== activity) return;
            react(detail);
            show();
        });
    on('began', ({ session, base }) => {
        isReachable = true;
        transcript.begin(session, base);
        dismiss();
    });
    on('token', ({ text: words }) => transcript.interim(words));
    on('final', (final) => transcript.final(final));
    on('speech_start', () => (isSpeech = true));
    on('speech_end', () => (isSpeech = false));
    on('connection', ({ online }) => onConnection(started, online));
    on('error', (error) => onError(started, error));
    on('failed', (error) => onFailed(started, error));
    on('refused', () => {
        notice('buffer_full');
        started.stop();
    });
    on('unplugged', () => {
        notice('microphone_ended');
        started.stop();
    });
    on('progress', () => (elapsed = started.elapsed));
    on('level', (level) => meter.push(level, isSpeech), () => {});
    on('phase', (phase) => onPhase(started, phase));
    render();
}

function onPhase(started, phase) {
    if (phase === 'running') stayAwake();
    if (phase !== 'over') return;
    wakeLock?.release();
    isSpeech = false;
    transcript.interim('');
    meter.clear();
    if (owes()) onFailed(started, started.session.failure); // again: the message may have been closed
}

/** Whether a recording has ended with audio that no session has recognised. */
function owes() {
    return activity instanceof Recording && activity.phase === 'over' && Boolean(activity.session?.failure);
}

/** A stream that is cut and comes back at once is not worth a word. */
function onConnection(started, online) {
    isReachable = online;
    if (online && shown?.key === 'away') dismiss();
    if (online || started instanceof FileUpload) return;
    setTimeout(() => {
        const { session, phase } = started;
        if (phase === 'over' || started !== activity || session.online || session.failure) return;
        notice('away');
        render();
    }, CUT_SECONDS * 1000);
}

/** An `error` event: the session goes on, or tells how it ended. */
function onError(started, { code, recoverable, engine, message }) {
    if (recoverable) notice(has(code) ? code : 'refused', { engine, detail: message });
    else started.lastWords = { code, detail: message };
}

function onFailed(started, error) {
    const { code, detail } = started.lastWords ?? {};
    if (started instanceof FileUpload) return; // `open` raises it
    isSpeech = false;
    transcript.interim('');
    const seconds = Math.ceil(started.session.unrecognized().audio.length / 32_000);
    const key = has(code) ? code : has(error.code) ? error.code : 'refused';
    const { reason } = error.document;
    const values = { seconds, detail: detail ?? error.message, reason: has(reason) ? text(reason) : reason };
    notice(key, values, { label: 'go_on', action: () => goOn(started) });
}

async function goOn(started) {
    $('remedy').setAttribute('aria-disabled', true);
    started.lastWords = null;
    try {
        await started.goOn();
    } catch (error) {
        explain(error, () => goOn(started));
    } finally {
        $('remedy').setAttribute('aria-disabled', false);
    }
    render();
}

async function record() {
    if (owes() && !confirm(text('owed_first'))) return;
    const recording = new Recording(client, settings.config, elapsed);
    follow(recording);
    try {
        await recording.open();
    } catch (error) {
        recording.enter('over');
        explain(error, record);
    }
    render();
}

/** @param {File | undefined} file */
async function transcribe(file) {
    if (!file) return;
    if (activity && activity.phase !== 'over') return notice('one_at_a_time');
    if (!file.size || !AUDIO.test(file.type)) return notice('no_audio', { name: file.name });
    if (!transcript.isEmpty && !confirm(text('clear_first'))) return;
    clear();
    const upload = new FileUpload(client, settings.config, file);
    follow(upload);
    try {
        await upload.open();
    } catch (error) {
        if (!upload.isCancelled) explainFile(upload, error, () => transcribe(file));
        upload.enter('over');
    }
    render();
}

function explainFile({ lastWords }, error, again) {
    const way = { label: 'again', action: again };
    if (lastWords?.code === 'undecodable_audio') notice('undecodable_audio', lastWords);
    else if (has(lastWords?.code)) notice(lastWords.code, lastWords, way);
    else if (error.code === 'session_lost') notice('file_lost', {}, way);
    else explain(error, again);
}

function press() {
    const phase = activity?.phase ?? 'over';
    if ($('record').getAttribute('aria-disabled') === 'true') return;
    if (phase === 'over') record();
    else if (phase === 'running' && activity instanceof Recording) activity.stop();
    else activity.cancel();
}

function clear() {
    transcript.clear();
    elapsed = 0;
    dismiss();
    render();
}

async function stayAwake() {
    try {
        wakeLock = await navigator.wakeLock?.request('screen');
    } catch {
        return; // battery saving: then the screen may go dark
    }
    if (activity.phase === 'over') wakeLock?.release();
}

// --- the text, taken away -------------------------------------------------------------------------------------------

async function copy() {
    const words = transcript.text();
    try {
        await navigator.clipboard.writeText(words);
    } catch {
        copyBySelection(); // without https there is no clipboard
    }
    $('copy').textContent = text('copied');
    setTimeout(() => ($('copy').textContent = text('copy')), 2000);
}

function copyBySelection() {
    const selection = getSelection();
    selection.selectAllChildren($('finals'));
    document.execCommand('copy');
    selection.removeAllRanges();
}

async function download(format) {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([await transcript.file(format)], { type: 'text/plain;charset=utf-8' }));
    link.download = `transcript.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // not every browser has it at once
}

// --- the server -----------------------------------------------------------------------------------------------------

async function loadInfo() {
    try {
        info = await client.info();
        isReachable = true;
        if (remedy === loadInfo) dismiss(); // whatever else is said stays
    } catch (error) {
        explain(error, loadInfo);
    }
    settings.fill(info?.engines);
    render();
}

// --- the controls ---------------------------------------------------------------------------------------------------

$('record').onclick = press;
$('remedy').onclick = () => $('remedy').getAttribute('aria-disabled') !== 'true' && remedy?.();
$('dismiss').onclick = dismiss;
$('copy').onclick = copy;
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
for (const button of document.querySelectorAll('[data-format]')) button.onclick = () => download(button.dataset.format);
for (const button of document.querySelectorAll('[data-language]')) {
    button.onclick = () => {
        speak(button.dataset.language);
        settings.fill(info?.engines);
        shown?.again();
        render();
    };
}

addEventListener('dragover', (event) => {
    if (!event.dataTransfer.types.includes('Files')) return;
    event.preventDefault();
    $('drop').hidden = false;
});
addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) $('drop').hidden = true;
});
addEventListener('drop', (event) => {
    event.preventDefault();
    $('drop').hidden = true;
    transcribe(event.dataTransfer.files[0]);
});
for (const type of ['online', 'offline']) addEventListener(type, render);
document.addEventListener('visibilitychange', () => {
    if (!document.hidden && activity?.phase === 'running') stayAwake(); // a hidden page loses the lock
});
addEventListener('beforeunload', (event) => {
    if ((activity && activity.phase !== 'over') || owes()) event.preventDefault();
});

speak(pageLanguage);
settings.fill();
render();
loadInfo();
