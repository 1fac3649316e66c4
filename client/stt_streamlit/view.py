"""Drawing: the transcript of one session, its plots, its history, its downloads."""

import json
import statistics
from collections.abc import Callable
from datetime import datetime
from html import escape
from typing import Any

import streamlit as st

from stt_client.clock import clock
from stt_streamlit.charts import arrivals, show_timeline
from stt_streamlit.i18n import Words
from stt_streamlit.sidebar import language_name, sentence
from stt_streamlit.state import LiveSession, SessionView, Utterance

TRANSCRIPT_SECONDS = 0.4
TIMELINE_SECONDS = 2.0
SHOWN_UTTERANCES = 200
"""In the live transcript: what is drawn anew several times a second must have a bound."""

STYLE = """
<style>
.stt { display: grid; gap: .15rem; }
.stt > div { display: grid; grid-template-columns: 4.2rem 1fr auto; gap: .75rem; align-items: baseline;
  padding: .35rem .5rem; border-radius: .4rem; margin: 0; }
.stt > div:nth-child(odd) { background: color-mix(in srgb, currentColor 4%, transparent); }
.stt time, .stt small { font-variant-numeric: tabular-nums; font-size: .8rem;
  color: color-mix(in srgb, currentColor 70%, transparent); white-space: nowrap; }
.stt time { text-align: right; }
.stt p { margin: 0; font-size: 1.1rem; line-height: 1.5; overflow-wrap: anywhere; word-break: keep-all;
  color: color-mix(in srgb, currentColor var(--shade, 100%), transparent); }
.stt .interim { outline: 1px dashed color-mix(in srgb, currentColor 35%, transparent); outline-offset: -1px; }
.stt-figures { display: flex; flex-wrap: wrap; gap: .25rem 2rem; margin: .5rem 0 0; }
.stt-figures small { display: block; font-size: .8rem; color: color-mix(in srgb, currentColor 70%, transparent); }
.stt-figures b { font-size: 1.4rem; font-weight: 400; font-variant-numeric: tabular-nums; }
@media (max-width: 40rem) { .stt > div { grid-template-columns: 1fr auto; gap: 0 .5rem; }
  .stt time { text-align: left; } .stt p { grid-column: 1 / -1; grid-row: 2; } }
</style>
"""


def show_session(words: Words, live: LiveSession, flush: Callable[[LiveSession], None]) -> None:
    """Everything about one session; parts that change are drawn again by themselves until it is over.

    ``flush`` asks for the final of what was said so far.
    """
    over = live.view.over
    every = None if over else TRANSCRIPT_SECONDS
    st.fragment(_show_transcript, run_every=every)(words, live, over, flush)
    every = None if over else TIMELINE_SECONDS
    st.fragment(_show_details, run_every=every)(words, live, over)


def _show_transcript(words: Words, live: LiveSession, over: bool, flush: Callable[[LiveSession], None]) -> None:
    view = live.view
    if view.over and not over:
        st.rerun()  # what is over needs no redrawing, and the rest of the page may look different
    _show_state(words, live, view)
    if live.source == "microphone" and view.status == "live":
        st.button(
            words("flush"),
            icon=":material/keyboard_return:",
            help=words("flush_help"),
            on_click=flush,
            args=(live,),
            key=f"flush_{live.key}",
        )
    for notice in dict.fromkeys(view.notices):
        told = sentence(words, "notice", notice)
        if notice.code == "session_reopened":
            st.caption(f":material/sync: {told}")
        else:
            st.warning(told)
    if view.problem:
        st.error(sentence(words, "problem", view.problem))
    interim = "" if live.source == "microphone" else view.interim  # the microphone shows its own
    if view.utterances or interim:
        st.html(transcript_html(words, view, interim))
    elif view.status == "ended":
        st.info(words("no_words"))
    elif not view.over:
        st.caption(words("listening"))


def _show_state(words: Words, live: LiveSession, view: SessionView) -> None:
    broken_off = view.status == "ended" and view.reason not in ("", "finished")
    label = words("broken_off" if broken_off else view.status)
    colors: dict[str, Any] = {"opening": "gray", "live": "blue", "ended": "green", "failed": "red"}
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(
            f"{label} ({view.reason})" if broken_off else label, color="orange" if broken_off else colors[view.status]
        )
        if view.status == "live":
            speaking = bool(view.speech) and view.speech[-1][1] is None
            icon = ":material/graphic_eq:" if speaking else ":material/volume_off:"
            st.badge(words("speaking" if speaking else "silent"), icon=icon, color="green" if speaking else "gray")
        language = language_name(view.language) if view.language != "multi" else words("detect")
        st.caption(" · ".join(escape(each) for each in (live.name, view.engine, language) if each))
    if live.source == "file" and not view.over:
        percent, seconds = round(view.progress * 100), clock(view.recognized_seconds)
        st.progress(view.progress, words("progress", percent=percent, seconds=seconds))
        if st.button(words("stop"), icon=":material/stop:", disabled=live.stopping, key=f"stop_{live.key}"):
            live.stopping = True


def transcript_html(words: Words, view: SessionView, interim: str) -> str:
    """The last utterances, each with its time and confidence, and what is being said."""
    shown = view.utterances[-SHOWN_UTTERANCES:]
    lines = [_line(words, each) for each in shown]
    if interim:
        lines.append(
            f"<div class='interim' role='listitem'><time>…</time><p>{escape(interim)}</p><small></small></div>"
        )
    earlier = len(view.utterances) - len(shown)
    above = f"<p><small>{escape(words('earlier', count=earlier))}</small></p>" if earlier else ""
    return f"{STYLE}{above}<div class='stt' role='list'>{''.join(lines)}</div>"


def _line(words: Words, utterance: Utterance) -> str:
    confidence = utterance.confidence
    # Shade alone would tell nothing to those who can't see it: the figure stands beside.
    figure = f"{confidence:.0%}" if confidence else ""
    shade = f"--shade: {shade_percent(confidence):.0f}%"
    return (
        f"<div role='listitem'><time>{clock(utterance.start)}</time><p style='{shade}'>{escape(utterance.text)}</p>"
        f"<small title='{escape(words('confidence'))}'>{figure}</small></div>"
    )


def shade_percent(confidence: float | None) -> float:
    """How dark a text is: full from 90 % confidence on, and never too pale to read."""
    return 100.0 if confidence is None else 60.0 + 40.0 * min(1.0, max(0.0, (confidence - 0.4) / 0.5))


def _show_details(words: Words, live: LiveSession, over: bool) -> None:
    view = live.view
    if view.over and not over:
        st.rerun()
    if not (view.utterances or view.speech):
        return
    _show_figures(words, live, view)
    show_timeline(words, live, view)
    if view.utterances:
        with st.expander(words("history"), icon=":material/list:"):
            _show_history(words, view)
        _show_downloads(words, live, view)


def _show_figures(words: Words, live: LiveSession, view: SessionView) -> None:
    confidences = [each.confidence for each in view.utterances if each.confidence is not None]
    figures = [(words("duration"), clock(view.end)), (words("utterances"), str(len(view.utterances)))]
    if confidences:
        figures.append((words("confidence_mean"), f"{statistics.mean(confidences):.0%}"))
    if live.source == "microphone" and view.utterances:
        figures.append((words("latency_median"), f"{statistics.median(arrivals(live, view)):.1f} s"))
    items = "".join(f"<div><small>{escape(label)}</small><b>{escape(value)}</b></div>" for label, value in figures)
    st.html(f"{STYLE}<div class='stt-figures'>{items}</div>")


def _show_history(words: Words, view: SessionView) -> None:
    rows = [
        {
            words("start"): clock(each.start),
            words("end"): clock(each.end),
            words("text"): each.text,
            words("confidence"): None if each.confidence is None else 100 * each.confidence,
            words("engine"): each.engine,
        }
        for each in view.utterances
    ]
    columns = {
        words("text"): st.column_config.TextColumn(width="large"),
        words("confidence"): st.column_config.ProgressColumn(
            width=120, min_value=0, max_value=100, format="%.0f%%", color="auto"
        ),
    }
    st.dataframe(rows, hide_index=True, column_config=columns)


def _show_downloads(words: Words, live: LiveSession, view: SessionView) -> None:
    name = f"{live.name.rsplit('.', 1)[0]}-{datetime.fromtimestamp(view.created):%Y%m%d-%H%M%S}"
    document = json.dumps(view.document, ensure_ascii=False, indent=2) if view.document else ""
    documents = [
        ("txt", "text/plain", f"{view.text}\n"),
        ("srt", "application/x-subrip", view.srt),
        ("vtt", "text/vtt", view.vtt),
        ("json", "application/json", document),
    ]
    st.caption(words("download"))
    with st.container(horizontal=True, gap="small"):
        for suffix, mime, content in documents:
            st.download_button(
                suffix.upper(),
                content,
                f"{name}.{suffix}",
                mime,
                icon=":material/download:",
                disabled=not content,
                on_click="ignore",
                key=f"{suffix}_{live.key}",
            )
