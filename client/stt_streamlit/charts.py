"""The timeline of a session: when someone spoke, what was understood, how surely, and how late. Vega-Lite."""

from typing import Any

import streamlit as st

from stt_streamlit.i18n import Words
from stt_streamlit.state import LiveSession, SessionView

SPEECH_COLOR = "#8a94a6"
LATENCY_COLOR = "#2563eb"
CONFIDENCE_SCALE = {"domain": [0.3, 0.65, 0.9], "range": ["#c2410c", "#d99a00", "#15803d"], "clamp": True}
SPANS_HEIGHT = 130
PLOT_HEIGHT = 120
"""Pixels, axes included."""
LABEL_WIDTH = 60
"""Of every vertical axis, so that the plots lie one above the other."""
NO_TITLE = "\u00a0"
"""Takes the room of one, for the same reason."""
SHORTEST_SECONDS = 5.0

Spec = dict[str, Any]


def arrivals(live: LiveSession, view: SessionView) -> list[float]:
    """Seconds that each final took, from its words on; of a file, which is sent faster, from its upload on."""
    if live.source == "microphone":
        return [each.timestamp - view.zero - each.end for each in view.utterances]
    return [each.timestamp - view.created for each in view.utterances]


def show_timeline(words: Words, live: LiveSession, view: SessionView) -> None:
    """Up to three plots over one axis, the audio's time."""
    seconds = [0, max(view.end, SHORTEST_SECONDS)]
    kind = "latency" if live.source == "microphone" else "arrival"
    if view.utterances:
        _show(_latency(words(kind), words, live, view, seconds), f"latency_{live.key}", words(f"{kind}_help"))
    if any(each.confidence is not None for each in view.utterances):
        _show(_confidence(words, view, seconds), f"confidence_{live.key}", words("confidence"))
    _show(_spans(words, view, seconds), f"spans_{live.key}", words("timeline"))
    if view.utterances:
        st.caption(f"{words(kind)}: {words(f'{kind}_help')}")


def _show(spec: Spec, key: str, description: str) -> None:
    st.vega_lite_chart(spec, width="stretch", key=key, alt=description)


def _spans(words: Words, view: SessionView, seconds: list[float]) -> Spec:
    """One row for speech, one for utterances, whose color is their confidence."""
    rows = [words("speech"), words("utterances")]
    speech = [{"row": rows[0], "start": start, "end": end or view.end} for start, end in view.speech]
    utterances = [{"row": rows[1], **each} for each in _utterances(view)]
    bar = {"type": "bar", "cornerRadius": 3, "height": {"band": 0.7}}
    times = [_tooltip("start", words("start"), ".1f"), _tooltip("end", words("end"), ".1f")]
    return {
        "height": SPANS_HEIGHT,
        "encoding": {
            "x": _time("start", seconds, words("audio_time")),
            "x2": {"field": "end"},
            "y": {
                "field": "row",
                "type": "nominal",
                "scale": {"domain": rows},
                "title": NO_TITLE,
                "axis": _axis(ticks=False, domain=False),
            },
        },
        "layer": [
            {"data": {"values": speech}, "mark": {**bar, "color": SPEECH_COLOR}, "encoding": {"tooltip": times}},
            {
                "data": {"values": utterances},
                "mark": bar,
                "encoding": {"color": _confidence_color(), "tooltip": _about_utterance(words)},
            },
        ],
    }


def _confidence(words: Words, view: SessionView, seconds: list[float]) -> Spec:
    return {
        "height": PLOT_HEIGHT,
        "data": {"values": [each for each in _utterances(view) if each["confidence"] is not None]},
        "mark": {"type": "bar", "cornerRadiusTopLeft": 3, "cornerRadiusTopRight": 3},
        "encoding": {
            "x": _time("start", seconds),
            "x2": {"field": "end"},
            "y": {
                "field": "confidence",
                "type": "quantitative",
                "scale": {"domain": [0, 1]},
                "title": words("confidence"),
                "axis": _axis(format="%", values=[0, 0.5, 1]),
            },
            "y2": {"datum": 0},
            "color": _confidence_color(),
            "tooltip": _about_utterance(words),
        },
    }


def _latency(title: str, words: Words, live: LiveSession, view: SessionView, seconds: list[float]) -> Spec:
    points = [{**each, "latency": late} for each, late in zip(_utterances(view), arrivals(live, view), strict=True)]
    return {
        "height": PLOT_HEIGHT,
        "data": {"values": points},
        "mark": {"type": "line", "color": LATENCY_COLOR, "point": {"size": 55, "filled": True, "color": LATENCY_COLOR}},
        "encoding": {
            "x": _time("end", seconds),
            "y": {
                "field": "latency",
                "type": "quantitative",
                "scale": {"domain": [0, 1.2 * max(each["latency"] for each in points)]},
                "title": title,
                "axis": _axis(tickCount=3),
            },
            "tooltip": [*_about_utterance(words), _tooltip("latency", title, ".2f")],
        },
    }


def _utterances(view: SessionView) -> list[Spec]:
    return [
        {"start": each.start, "end": each.end, "text": each.text, "confidence": each.confidence}
        for each in view.utterances
    ]


def _time(field: str, seconds: list[float], title: str | None = None) -> Spec:
    axis = {"title": title, "labels": title is not None, "tickCount": 10}
    return {"field": field, "type": "quantitative", "scale": {"domain": seconds, "nice": False}, "axis": axis}


def _axis(**options: Any) -> Spec:
    return {"minExtent": LABEL_WIDTH, "maxExtent": LABEL_WIDTH, **options}


def _confidence_color() -> Spec:
    return {"field": "confidence", "type": "quantitative", "scale": CONFIDENCE_SCALE, "legend": None}


def _about_utterance(words: Words) -> list[Spec]:
    return [
        _tooltip("text", words("text")),
        _tooltip("start", words("start"), ".1f"),
        _tooltip("end", words("end"), ".1f"),
        _tooltip("confidence", words("confidence"), ".0%"),
    ]


def _tooltip(field: str, title: str, format: str | None = None) -> Spec:
    number = {"type": "quantitative", "format": format} if format else {"type": "nominal"}
    return {"field": field, "title": title, **number}
