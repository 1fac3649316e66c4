"""Every sentence of the Streamlit app, in Korean and in English."""

from typing import Literal

Tongue = Literal["ko", "en"]
TONGUES: dict[Tongue, str] = {"ko": "한국어", "en": "English"}

TEXTS: dict[str, tuple[str, str]] = {
    "title": ("실시간 음성 인식", "Real-time speech to text"),
    "subtitle": (
        "말하는 동안 글자가 나타납니다. 오디오는 HTTP로 올라가고 결과는 스트림으로 내려옵니다.",
        "Words appear while you speak. Audio goes up by plain HTTP, results come down as a stream.",
    ),
    # --- sidebar ---
    "server": ("서버", "Server"),
    "server_url": ("서버 주소", "Server address"),
    "api_key": ("API 키", "API key"),
    "api_key_help": (
        "서버가 요구할 때만 필요합니다. 마이크는 브라우저에서 서버로 바로 보내므로 키가 브라우저에도 있어야 합니다.",
        "Only where the server asks for one. The microphone sends from your browser, which then needs the key too.",
    ),
    "settings": ("세션 설정", "Session settings"),
    "settings_help": ("다음 세션부터 적용됩니다.", "They hold from the next session on."),
    "language": ("인식 언어", "Language spoken"),
    "detect": ("자동 감지", "Detect"),
    "engine": ("엔진", "Engine"),
    "engine_auto": ("자동", "Automatic"),
    "endpointing": ("발화 끝으로 보는 침묵 (ms)", "Silence that ends an utterance (ms)"),
    "by_default": ("서버 기본값", "Server's default"),
    "keywords": ("키워드", "Keywords"),
    "keywords_help": ("이름이나 용어. 쉼표로 나눕니다.", "Names and terms, separated by commas."),
    "keywords_unable": ("이 엔진은 키워드를 받지 않습니다.", "This engine takes no keywords."),
    "two_pass": ("두 번째 인식", "Second pass"),
    "two_pass_help": (
        "최종 결과를 더 정확한 모델로 한 번 더 인식합니다.",
        "Recognise finals once more with a better model.",
    ),
    "two_pass_unable": ("이 언어와 엔진에는 없습니다.", "There is none for this language and engine."),
    "on": ("켜기", "On"),
    "off": ("끄기", "Off"),
    # --- server status ---
    "status_asking": ("서버에 묻는 중 …", "Asking the server …"),
    "status_ready": ("준비됨", "Ready"),
    "status_draining": (
        "서버가 지금은 새 세션을 받지 않습니다.",
        "The server takes no new sessions at the moment.",
    ),
    "status_away": ("응답 없음", "No answer"),
    "away_banner": (
        "{url} 의 음성 인식 서버가 응답하지 않습니다. 서버가 켜져 있는지, 주소가 맞는지 확인하세요. "
        "돌아오면 자동으로 다시 연결합니다. 이미 받은 내용은 아래에 그대로 있습니다.",
        "The speech server at {url} does not answer. Check that it runs and that the address is right. "
        "The app connects again by itself; what was recognised so far stays below.",
    ),
    "problem_server_away": (
        "서버와 연결이 끊겨 세션을 계속할 수 없습니다. 이미 받은 내용은 그대로 있습니다.",
        "The server is away, so the session cannot go on. What was recognised so far is kept.",
    ),
    "problem_session_lost": (
        "서버가 이 세션을 더 이상 알지 못합니다. 서버가 다시 시작되었을 수 있습니다. 새로 시작하세요.",
        "The server no longer knows this session; it may have been restarted. Please start a new one.",
    ),
    "problem_wrong_address": (
        "이 주소에는 음성 인식 서버가 없습니다.",
        "There is no speech server at this address.",
    ),
    "problem_too_many_sessions": (
        "서버에 빈 자리가 없습니다.",
        "The server is full.",
    ),
    "problem_draining": (
        "서버가 종료되는 중입니다. 잠시 뒤에 다시 시도하세요.",
        "The server is stopping. Please try again in a moment.",
    ),
    "problem_invalid_request": ("서버가 설정을 받아들이지 않았습니다.", "The server refused the settings."),
    "problem_unauthorized": ("API 키가 필요하거나 맞지 않습니다.", "The API key is missing or wrong."),
    "problem_other": ("서버가 요청을 거절했습니다.", "The server refused the request."),
    "notice_engine_failover": (
        "엔진에 문제가 있어 다른 엔진으로 이어서 인식합니다. 잃어버린 내용은 없습니다.",
        "The engine failed and another one carries on. Nothing was lost.",
    ),
    "notice_engine_restarted": (
        "엔진을 다시 시작했습니다. 잃어버린 내용은 없습니다.",
        "The engine was restarted. Nothing was lost.",
    ),
    "notice_session_reopened": (
        "서버가 세션을 잃어 새 세션으로 이어서 인식합니다. 아직 인식하지 못한 말은 다시 보냈습니다.",
        "The server lost the session; it goes on in a new one. What was not recognised yet has been sent again.",
    ),
    "notice_server_away": (
        "서버가 응답하지 않아 요청하지 못했습니다.",
        "The server does not answer, so this could not be asked of it.",
    ),
    "notice_engine_failed": ("엔진이 멈춰 세션이 끝났습니다.", "The engine failed, which ended the session."),
    "notice_undecodable_audio": (
        "이 오디오는 읽을 수 없는 형식입니다.",
        "The audio is in no format that the server can read.",
    ),
    "notice_other": ("서버가 알려 왔습니다.", "The server says:"),
    # --- sources ---
    "microphone": ("마이크", "Microphone"),
    "file": ("파일", "File"),
    "choose_file": ("오디오 파일", "Audio file"),
    "file_types": ("WAV, FLAC, MP3, Ogg, WebM, M4A 또는 PCM", "WAV, FLAC, MP3, Ogg, WebM, M4A or PCM"),
    "transcribe": ("인식 시작", "Transcribe"),
    "stop": ("중지", "Stop"),
    "flush": ("지금까지 한 말 확정", "Finish this sentence"),
    "flush_help": (
        "침묵을 기다리지 않고 지금까지 한 말의 최종 결과를 받습니다. 녹음은 계속됩니다.",
        "Get the final of what was said so far without waiting for silence. The recording goes on.",
    ),
    # --- session ---
    "session": ("세션", "Session"),
    "sessions": ("이 창의 세션", "Sessions of this window"),
    "nothing_yet": (
        "아직 세션이 없습니다. 마이크를 켜거나 파일을 올리세요.",
        "No session yet. Start the microphone or upload a file.",
    ),
    "listening": ("듣는 중 …", "Listening …"),
    "no_words": ("인식된 말이 없습니다.", "No words were recognised."),
    "opening": ("여는 중", "Opening"),
    "live": ("진행 중", "Live"),
    "ended": ("완료", "Complete"),
    "broken_off": ("중단됨", "Broken off"),
    "failed": ("실패", "Failed"),
    "speaking": ("말하는 중", "Speaking"),
    "silent": ("조용함", "Silent"),
    "progress": ("{percent}% · {seconds} 인식함", "{percent}% · {seconds} recognised"),
    "earlier": ("앞의 {count}개 발화는 내려받기에 있습니다.", "{count} earlier utterances are in the downloads."),
    "timeline": ("타임라인", "Timeline"),
    "history": ("발화 목록", "History"),
    "utterances": ("발화", "Utterances"),
    "speech": ("음성", "Speech"),
    "confidence": ("신뢰도", "Confidence"),
    "confidence_mean": ("평균 신뢰도", "Mean confidence"),
    "latency": ("지연 (초)", "Latency (s)"),
    "latency_help": (
        "말이 끝난 때부터 최종 결과까지. 가장 빨랐던 이벤트를 0으로 봅니다.",
        "From the end of the words to their final, where the quickest event of the session counts as 0.",
    ),
    "arrival": ("도착 (초)", "Arrival (s)"),
    "arrival_help": (
        "파일을 올리기 시작한 때부터 최종 결과까지 걸린 시간.",
        "From the start of the upload to the final.",
    ),
    "latency_median": ("지연 중앙값", "Median latency"),
    "audio_time": ("오디오 시간 (초)", "Audio time (s)"),
    "duration": ("길이", "Length"),
    "start": ("시작", "Start"),
    "end": ("끝", "End"),
    "text": ("내용", "Text"),
    "download": ("내려받기", "Download"),
    # --- microphone component: the words behind `mic_` are known to its JavaScript ---
    "mic_start": ("녹음 시작", "Start recording"),
    "mic_stop": ("녹음 끝내기", "Stop recording"),
    "mic_give_up": ("기다리지 않고 끝내기", "Stop waiting"),
    "mic_idle": ("누르고 말하세요.", "Press and speak."),
    "mic_starting": ("마이크를 여는 중 …", "Opening the microphone …"),
    "mic_recording": ("녹음 중", "Recording"),
    "mic_finishing": ("마지막 말을 기다리는 중 …", "Waiting for the last words …"),
    "mic_away": ("서버 응답 없음, 녹음은 보관됩니다", "No answer from the server, the recording is kept"),
    "mic_kept": ("아직 보내지 못한 소리 {seconds}초", "{seconds} s not sent yet"),
    "mic_level": ("입력 크기", "Input level"),
    "mic_live": ("말하는 내용이 여기에 나타납니다.", "What you say appears here."),
    "mic_restarted": (
        "서버가 다시 시작되어 새 세션으로 이어서 녹음합니다.",
        "The server was restarted; the recording goes on in a new session.",
    ),
    "mic_no_microphone": ("마이크를 찾지 못했습니다.", "No microphone was found."),
    "mic_permission_denied": (
        "마이크 사용이 허용되지 않았습니다. 주소창 옆의 아이콘에서 허용한 뒤 다시 누르세요.",
        "The microphone was not allowed. Allow it beside the address bar, then press again.",
    ),
    "mic_microphone_busy": (
        "마이크를 열 수 없습니다. 다른 프로그램이 쓰고 있을 수 있습니다.",
        "The microphone cannot be opened. Another program may be using it.",
    ),
    "mic_insecure_origin": (
        "브라우저는 https 나 localhost 에서만 마이크를 허용합니다.",
        "Browsers give the microphone to https pages and localhost only.",
    ),
    "mic_server_away": (
        "음성 인식 서버가 응답하지 않습니다. 서버가 켜져 있는지 확인하세요.",
        "The speech server does not answer. Check that it runs.",
    ),
    "mic_script_missing": (
        "음성 인식 서버에 닿지 않습니다. 서버가 켜져 있는지, 이 브라우저에서 서버 주소가 열리는지 확인하세요.",
        "The speech server cannot be reached. Check that it runs and that its address opens in this browser.",
    ),
    "mic_buffer_full": (
        "서버가 너무 오래 응답하지 않아 녹음을 더 보관할 수 없습니다.",
        "The server has been away for so long that no more can be kept.",
    ),
    "mic_too_many_sessions": (
        "서버에 빈 자리가 없습니다.",
        "The server is full.",
    ),
    "mic_session_refused": ("서버가 세션을 받아들이지 않았습니다.", "The server refused the session."),
}


class Words:
    """The texts in one language: ``words("ended")``, ``words("progress", percent=3, seconds="0:02")``."""

    def __init__(self, tongue: Tongue) -> None:
        self.tongue = tongue
        self._index = 0 if tongue == "ko" else 1

    def __call__(self, key: str, **values: object) -> str:
        text = TEXTS[key][self._index]
        return text.format(**values) if values else text

    def starting_with(self, prefix: str) -> dict[str, str]:
        """Every text whose key begins so, without the beginning."""
        return {key.removeprefix(prefix): self(key) for key in TEXTS if key.startswith(prefix)}


def tongue_of(locale: str | None) -> Tongue:
    """The language to begin with, by the browser's."""
    return "ko" if (locale or "").lower().split("-")[0] == "ko" else "en"
