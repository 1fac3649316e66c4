"""The sidebar: which server, how it is, and what is asked of the next session."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from stt_streamlit.i18n import TEXTS, TONGUES, Tongue, Words, tongue_of
from stt_streamlit.session import Background, ServerStatus
from stt_streamlit.state import Problem

DEFAULT_URL = "http://127.0.0.1:8001"
STATUS_SECONDS = 1.0
FIRST_ANSWER_SECONDS = 2.0
DETECT = "multi"
TWO_PASS = {"by_default": None, "on": True, "off": False}
LANGUAGE_NAMES = {
    "ko": "한국어", "en": "English", "ja": "日本語", "zh": "中文", "es": "Español", "fr": "Français", "de": "Deutsch",
    "it": "Italiano", "pt": "Português", "ru": "Русский", "vi": "Tiếng Việt", "th": "ไทย", "id": "Bahasa Indonesia",
    "hi": "हिन्दी", "ar": "العربية", "tr": "Türkçe", "nl": "Nederlands", "pl": "Polski", "uk": "Українська",
    "sv": "Svenska", "yue": "粵語",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """``config`` holds only what the user has chosen; the server has a default for the rest."""

    url: str
    api_key: str | None = field(repr=False)
    config: dict[str, Any]


def choose_tongue() -> Words:
    """The switch between Korean and English; the browser's language to begin with."""
    tongue: Tongue = st.segmented_control(
        "언어 · Language",
        list(TONGUES),
        default=tongue_of(st.context.locale),
        required=True,
        format_func=lambda each: TONGUES[each],
        label_visibility="collapsed",
        key="tongue",
    )
    return Words(tongue)


def choose_settings(words: Words, background: Background) -> Settings:
    st.subheader(words("server"))
    url = st.text_input(words("server_url"), os.environ.get("STT_URL", DEFAULT_URL), key="url").strip().rstrip("/")
    api_key = (
        st.text_input(words("api_key"), type="password", help=words("api_key_help"), key="api_key").strip() or None
    )
    background.watch(url, api_key)
    background.wait_for_server(FIRST_ANSWER_SECONDS)
    st.fragment(_show_status, run_every=STATUS_SECONDS)(words, background, background.server.info)
    st.subheader(words("settings"), help=words("settings_help"))
    return Settings(url, api_key, _choose_config(words, background.server.info.get("engines", {})))


def show_away_banner(words: Words, background: Background) -> None:
    """A sentence above everything else while the server does not answer."""
    status = background.server
    if status.problem:
        away = words("away_banner", url=status.url)
        st.error(away if status.problem.code == "server_away" else sentence(words, "problem", status.problem))
    elif status.known and not status.ready:
        st.warning(words("status_draining"), icon=":material/hourglass_empty:")


def sentence(words: Words, kind: str, problem: Problem) -> str:
    """Our words for a problem that we know, and the server's own where they say more."""
    known = f"{kind}_{problem.code}" in TEXTS
    text = words(f"{kind}_{problem.code}" if known else f"{kind}_other")
    if problem.fields:
        return "\n\n- ".join([text, "\n- ".join(f"{field}: {message}" for field, message in problem.fields)])
    return text if known else f"{text} {problem.detail} ({problem.code})"


def _show_status(words: Words, background: Background, drawn: Mapping[str, Any]) -> None:
    status = background.server
    if status.info != drawn:
        st.rerun()  # what can be chosen has changed
    label, color, icon = _status_badge(words, status)
    st.badge(label, icon=f":material/{icon}:", color=color)
    if status.problem:
        return  # the banner says what is to be done
    version = status.health.get("version", "")
    engines = status.health.get("engines", {})
    states = ", ".join(f"{name} {'✓' if state.get('ready') else '✗'}" for name, state in engines.items())
    st.caption(" · ".join(each for each in (f"v{version}" if version else "", states) if each))


def _status_badge(words: Words, status: ServerStatus) -> tuple[str, Any, str]:
    if not status.known:
        return words("status_asking"), "gray", "hourglass_empty"
    if status.problem:
        return words("status_away"), "red", "cloud_off"
    if not status.ready:
        return words("status_draining"), "orange", "hourglass_empty"
    return words("status_ready"), "green", "check_circle"


def _choose_config(words: Words, engines: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The fields of the server's ``SessionConfig`` that have been chosen."""
    engine = st.selectbox(
        words("engine"),
        ["auto", *engines],
        format_func=lambda each: words("engine_auto") if each == "auto" else each,
        key="engine",
    )
    able = [engines[engine]] if engine in engines else list(engines.values())
    spoken = {tag for each in able for tag in each.get("languages", ())} or {"ko", "en"}
    language = st.selectbox(
        words("language"),
        sorted(spoken, key=_familiar_first),
        format_func=lambda tag: words("detect") if tag == DETECT else language_name(tag),
        key="language",
    )
    endpointing = st.number_input(
        words("endpointing"), 100, 5000, None, step=100, placeholder=words("by_default"), key="endpointing_ms"
    )
    takes_keywords = not able or any(each.get("keywords") for each in able)
    keywords = st.text_input(
        words("keywords"),
        help=words("keywords_help") if takes_keywords else words("keywords_unable"),
        disabled=not takes_keywords,
        key="keywords",
    )
    has_two_passes = not able or any(_bare(language) in each.get("two_pass_languages", ()) for each in able)
    two_pass = st.selectbox(
        words("two_pass"),
        list(TWO_PASS),
        format_func=words,
        help=words("two_pass_help") if has_two_passes else words("two_pass_unable"),
        disabled=not has_two_passes,
        key="two_pass",
    )
    listed = [each.strip() for each in keywords.split(",") if each.strip()] if takes_keywords else []
    chosen = {
        "language": language,
        "engine": engine,
        "endpointing_ms": endpointing,
        "keywords": listed or None,
        "two_pass": TWO_PASS[two_pass] if has_two_passes else None,
    }
    return {name: value for name, value in chosen.items() if value is not None}


def language_name(tag: str) -> str:
    name = LANGUAGE_NAMES.get(_bare(tag))
    if name is None or tag == _bare(tag):
        return name or tag
    return f"{name} ({tag.split('-', 1)[1]})"


def _familiar_first(tag: str) -> tuple[int, str]:
    first, second, *others = LANGUAGE_NAMES
    order = [first, second, DETECT, *others]
    return (order.index(_bare(tag)) if _bare(tag) in order else len(order)), tag


def _bare(tag: str) -> str:
    return tag.split("-")[0].lower()
