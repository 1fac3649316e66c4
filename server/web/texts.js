// What the page says, in its languages. {name} is filled in.

import { recall, remember } from './memory.js';

const en = {
    title: 'Speech to text',
    page_language: 'Language of this page',
    settings: 'Settings',
    speech_language: 'Spoken language',
    detect: 'Detect',
    engine: 'Engine',
    auto: 'Automatic',
    api_key: 'API key',
    transcript: 'Transcript',
    finals: 'Recognised text',
    empty_lead: 'Press the button and speak.',
    empty_file: 'Or choose an audio or video file, or drop it on this page.',
    actions: 'What to do with the text',
    copy: 'Copy',
    copied: 'Copied',
    download: 'Download',
    clear: 'Clear',
    clear_first: 'The text on the page will be cleared. Go on?',
    owed_first: 'The last seconds are not recognised yet. Record anew without them?',
    shades: 'How sure it is:',
    confidence: '{percent} % sure',
    controls: 'Recording',
    record: 'Record',
    stop: 'Stop',
    starting: 'Starting…',
    finishing: 'Finishing…',
    cancel: 'Cancel',
    talk: 'Hold to talk',
    talking: 'Let go for the text',
    flush: 'Text now',
    space_key: 'Space',
    enter_key: 'Enter',
    muted: 'Paused',
    choose_file: 'Choose file',
    drop: 'Drop it: it will be transcribed',
    usage: 'For developers',
    docs: 'API',
    health: 'Status',
    dismiss: 'Close this message',

    speaking: 'Speech',
    silent: 'Silence',
    online: 'Connected',
    offline: 'No connection',
    waiting: '{seconds} s waiting',
    uploading: 'Transcribing {name}',

    insecure_origin:
        'Browsers give the microphone only to https pages and to localhost. Open this page with https, or on the machine of the server as {address}. Audio files work here, too.',
    permission_denied: 'The microphone is not allowed. Allow it for this page in the address bar of the browser, then try again.',
    no_microphone: 'There is no microphone. Plug one in, then try again. Audio files work without one.',
    microphone_busy: 'The microphone cannot be used. Perhaps another program has it.',
    microphone_ended: 'The microphone was unplugged or taken away. What was said so far is kept.',
    server_away: 'The server does not answer. Is it running, and are you online?',
    away: 'The server cannot be reached. Recording goes on; what you say is kept and sent when it is back.',
    away_at_end: 'The server cannot be reached. What you said is kept and sent when it is back.',
    too_many_sessions: 'All places on the server are taken.',
    waiting_for_place: 'All places on the server are taken. Waiting for one; what you say meanwhile is kept.',
    waiting_for_server: 'The server is not ready. Waiting for it; what you say meanwhile is kept.',
    stop_waiting: 'Stop waiting',
    draining: 'The server is restarting.',
    log_unavailable: 'The server cannot store anything at the moment.',
    internal_error: 'The server has failed.',
    reopened: 'The server has lost this recording, and a new one goes on by itself. Nothing is lost.',
    unauthorized: 'This server wants an API key.',
    refused: 'The server refuses: {detail}',
    buffer_full: 'Ten minutes of audio are waiting for the server: recording has stopped. They will be sent when it is back.',
    session_lost:
        'The server loses this recording again and again. The text is kept, and so are the last {seconds} s, which are not recognised yet.',
    gave_up:
        'The server has been away for too long. The text is kept, and so are the last {seconds} s, which are not recognised yet.',
    session_ended:
        'The server has ended this recording ({reason}). The text is kept, and so are the last {seconds} s, which are not recognised yet.',
    finished: 'by another program',
    idle_timeout: 'nothing came for too long',
    max_duration: 'it was too long',
    server_shutdown: 'it is being stopped',
    purged: 'it was erased',
    file_lost: 'The server does not know this recording any more; it was probably restarted. The text so far is kept.',
    undecodable_audio: 'This is no audio that the server can read: {detail}',
    engine_failed: 'Recognition failed: {detail}',
    engine_restarted: 'Recognition had to begin again ({engine}). Nothing is lost.',
    engine_failover: 'An engine failed; {engine} goes on. Nothing is lost.',
    one_at_a_time: 'Finish what is running first.',
    unreadable: 'The browser cannot read this file.',
    no_audio: '{name} is no audio file.',
    go_on: 'Go on',
    again: 'Try again',
};

const ko = {
    title: '실시간 받아쓰기',
    page_language: '화면 언어',
    settings: '설정',
    speech_language: '말하는 언어',
    detect: '자동 감지',
    engine: '엔진',
    auto: '자동',
    api_key: 'API 키',
    transcript: '받아쓴 글',
    finals: '인식된 글',
    empty_lead: '버튼을 누르고 말씀하세요.',
    empty_file: '오디오나 동영상 파일을 고르거나 이 화면에 끌어다 놓아도 됩니다.',
    actions: '글 다루기',
    copy: '복사',
    copied: '복사했습니다',
    download: '내려받기',
    clear: '지우기',
    clear_first: '화면의 글이 지워집니다. 계속할까요?',
    owed_first: '마지막 몇 초가 아직 인식되지 않았습니다. 그대로 두고 새로 녹음할까요?',
    shades: '신뢰도:',
    confidence: '신뢰도 {percent} %',
    controls: '녹음',
    record: '녹음',
    stop: '멈춤',
    starting: '시작 중…',
    finishing: '마무리 중…',
    cancel: '취소',
    talk: '누르고 말하기',
    talking: '떼면 글이 나옵니다',
    flush: '지금 글로',
    space_key: '스페이스',
    enter_key: 'Enter',
    muted: '잠시 멈춤',
    choose_file: '파일 선택',
    drop: '여기에 놓으면 받아씁니다',
    usage: '개발자용 안내',
    docs: 'API 문서',
    health: '서버 상태',
    dismiss: '알림 닫기',

    speaking: '말하는 중',
    silent: '조용함',
    online: '연결됨',
    offline: '연결 끊김',
    waiting: '{seconds}초 대기 중',
    uploading: '{name} 받아쓰는 중',

    insecure_origin:
        '브라우저는 https 페이지와 localhost에서만 마이크를 허용합니다. https로 열거나, 서버가 있는 컴퓨터에서 {address} 주소로 여세요. 오디오 파일은 여기서도 됩니다.',
    permission_denied: '마이크 사용이 허용되지 않았습니다. 브라우저 주소창에서 이 페이지의 마이크를 허용한 뒤 다시 시도하세요.',
    no_microphone: '마이크가 없습니다. 마이크를 연결한 뒤 다시 시도하세요. 오디오 파일은 마이크 없이도 됩니다.',
    microphone_busy: '마이크를 쓸 수 없습니다. 다른 프로그램이 쓰고 있을 수 있습니다.',
    microphone_ended: '마이크가 뽑혔거나 꺼졌습니다. 지금까지 말씀하신 내용은 남아 있습니다.',
    server_away: '서버가 응답하지 않습니다. 서버가 켜져 있는지, 네트워크가 연결되어 있는지 확인하세요.',
    away: '서버에 연결할 수 없습니다. 녹음은 계속되며, 말씀하신 내용은 보관했다가 다시 연결되면 보냅니다.',
    away_at_end: '서버에 연결할 수 없습니다. 말씀하신 내용은 보관했다가 다시 연결되면 보냅니다.',
    too_many_sessions: '서버에 빈자리가 없습니다.',
    waiting_for_place: '서버에 빈자리가 없어 기다리는 중입니다. 그동안 말씀하신 내용은 보관합니다.',
    waiting_for_server: '서버가 아직 준비되지 않아 기다리는 중입니다. 그동안 말씀하신 내용은 보관합니다.',
    stop_waiting: '그만 기다리기',
    draining: '서버가 다시 시작하는 중입니다.',
    log_unavailable: '서버가 지금은 아무것도 저장하지 못합니다.',
    internal_error: '서버에 문제가 생겼습니다.',
    reopened: '서버가 이 녹음을 잃어버려 새 녹음으로 이어 갑니다. 빠진 내용은 없습니다.',
    unauthorized: '이 서버를 쓰려면 API 키가 필요합니다.',
    refused: '서버가 거절했습니다: {detail}',
    buffer_full: '보내지 못한 소리가 10분이 되어 녹음을 멈췄습니다. 다시 연결되면 모두 보냅니다.',
    session_lost:
        '서버가 이 녹음을 거듭 잃어버립니다. 글은 그대로 있고, 아직 인식되지 않은 마지막 {seconds}초도 보관하고 있습니다.',
    gave_up:
        '서버가 너무 오래 응답하지 않습니다. 글은 그대로 있고, 아직 인식되지 않은 마지막 {seconds}초도 보관하고 있습니다.',
    session_ended:
        '서버가 이 녹음을 끝냈습니다({reason}). 글은 그대로 있고, 아직 인식되지 않은 마지막 {seconds}초도 보관하고 있습니다.',
    finished: '다른 프로그램의 요청',
    idle_timeout: '오랫동안 아무것도 오지 않음',
    max_duration: '너무 긺',
    server_shutdown: '서버 종료',
    purged: '삭제됨',
    file_lost: '서버에 이 녹음이 남아 있지 않습니다. 서버가 다시 시작된 것 같습니다. 지금까지의 글은 그대로 있습니다.',
    undecodable_audio: '서버가 읽을 수 없는 오디오입니다: {detail}',
    engine_failed: '인식하지 못했습니다: {detail}',
    engine_restarted: '인식을 다시 시작했습니다({engine}). 잃은 것은 없습니다.',
    engine_failover: '엔진 하나가 멈춰 {engine} 엔진이 이어받았습니다. 잃은 것은 없습니다.',
    one_at_a_time: '진행 중인 작업을 먼저 끝내세요.',
    unreadable: '브라우저가 이 파일을 읽지 못합니다.',
    no_audio: '{name} 파일은 오디오가 아닙니다.',
    go_on: '이어서 하기',
    again: '다시 시도',
};

/** @type {Record<string, Record<string, string>>} */
const texts = { en, ko };

const preferred = [recall('page-language'), ...navigator.languages.map((tag) => tag.split('-')[0])];
export let language = preferred.find((tag) => tag !== null && tag in texts) ?? 'en';

/** @param {string} key @param {Record<string, string | number>} [values] */
export function text(key, values = {}) {
    return texts[language][key].replace(/\{(\w+)\}/g, (_, name) => `${values[name] ?? ''}`);
}

/** @param {string | undefined} key @returns {key is string} */
export function has(key) {
    return key !== undefined && key in en;
}

/** @param {string} selector @returns {NodeListOf<HTMLElement>} */
function all(selector) {
    return document.querySelectorAll(selector);
}

/** Change the language of the page, and what it shows of `data-text` and `data-label`. @param {string} wanted `en` or `ko` */
export function speak(wanted) {
    if (wanted !== language) remember('page-language', wanted);
    language = wanted;
    document.documentElement.lang = wanted;
    document.title = text('title');
    for (const element of all('[data-text]')) element.textContent = text(element.dataset.text ?? '');
    for (const element of all('[data-label]')) {
        element.setAttribute('aria-label', text(element.dataset.label ?? ''));
    }
    for (const button of all('[data-language]')) {
        button.setAttribute('aria-pressed', `${button.dataset.language === wanted}`);
    }
}
