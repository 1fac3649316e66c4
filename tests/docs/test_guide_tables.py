"""The reference tables of the guide say what the code does: data of events, limits, metrics."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.engines.deepgram.settings import DeepgramSettings
from server.engines.local.settings import LocalSettings
from server.errors import AudioError
from server.events import error_event, recognition_events, session_end_event
from server.models import EventType, Final, Interim, SessionConfig, SpeechEnded, SpeechStarted, Word
from server.observe.metrics import Metrics
from server.routes.bodies import CONFIG_BYTES
from server.routes.sse import heartbeat
from server.session_log.base import MAX_MARKS, NewEvent
from server.settings import Settings
from tests.support.documents import english, korean, row_of, rows, section


@pytest.fixture(params=[english, korean], ids=["en", "ko"])
def guide(request: pytest.FixtureRequest) -> str:
    return str(request.param("CLIENT_API_GUIDE"))


# --- data of events -------------------------------------------------------------------------------------------------

WORDS = (Word("그는", 0.62, 0.96, 0.98), Word("걸어갔다", 2.7, 3.38, 0.95))


def published() -> Iterator[NewEvent]:
    """Every kind of event that the server makes, with everything that it may have in it."""
    for recognition, flushed in (
        (Interim("그는", 0.62, 0.96, 0.98, WORDS[:1], "ko"), None),
        (Final("그는 걸어갔다", 0.62, 3.38, 4.16, 0.97, WORDS, "ko"), None),
        (Final("그는 걸어갔다", 0.62, 3.38, 4.16, 0.97, WORDS, "ko", flushed=True, uncovered=1.2), 133_120),
        (Final("", 4.16, 5.0, 5.0, flushed=True, uncovered=0.8), 160_000),
        (SpeechStarted(0.62), None),
        (SpeechEnded(3.36), None),
    ):
        yield from recognition_events(recognition, SessionConfig(), "local", flushed)
    yield error_event("engine_restarted", "The recognizer takes no audio.", recoverable=True, engine="local")
    yield error_event(AudioError.code, "The WAV header is damaged.", recoverable=False)
    yield error_event("audio_gap", "The WebM audio has a gap.", recoverable=True, seconds=1.5)
    yield session_end_event("finished")


def data_of_events() -> dict[EventType, set[str]]:
    fields: dict[EventType, set[str]] = defaultdict(set)
    for event in published():
        fields[event.type] |= json.loads(event.body).keys()
    frame = json.loads(heartbeat("sess_0", b"alive").removeprefix(b"data: "))
    fields[EventType(frame["event_type"])] |= frame["data"].keys()
    return fields


DATA = data_of_events()
LIKE_TOKEN = {EventType.FINAL: EventType.TOKEN}
"""Events whose section says that they have all fields of another one, too."""


def told(guide: str, event_type: EventType) -> set[str]:
    """The fields in the first table of an event's section, and of the one that it refers to."""
    lines = section(guide, event_type).partition("\n| ")[2].partition("\n\n")[0]
    fields = {row[0].strip("`") for row in rows(f"| {lines}")[2:]}
    return fields | (told(guide, LIKE_TOKEN[event_type]) if event_type in LIKE_TOKEN else set())


def test_every_type_of_event_is_made_here() -> None:
    assert DATA.keys() == set(EventType)


@pytest.mark.parametrize("event_type", EventType)
def test_the_table_of_an_event_has_the_fields_of_its_data_and_no_other(event_type: EventType, guide: str) -> None:
    assert told(guide, event_type) == DATA[event_type]


# --- limits ---------------------------------------------------------------------------------------------------------

UNITS = {"": 1, "s": 1, "초": 1, "h": 3600, "시간": 3600, "hours": 3600, "KiB": 1024, "MiB": 1_048_576}
AMOUNT = re.compile(rf"([\d.]+) ?({'|'.join(filter(None, UNITS))}|)")
WRITTEN_BEHIND = re.compile(rf"{AMOUNT.pattern}(?:\s*\(|, )`STT_(\w+)`")
DEFAULTS = {
    name: value for settings in (Settings, LocalSettings, DeepgramSettings) for name, value in settings(_env_file=None)
}


def amount(number: str, unit: str) -> float:
    return float(number) * UNITS[unit]


def limits(guide: str) -> list[list[str]]:
    """The rows of the table of limits."""
    table = guide.partition("\n## 9. ")[2].partition("\n## 10. ")[0]
    return rows(table)[2:]


def test_the_table_of_limits_has_the_defaults_of_the_settings(guide: str) -> None:
    settings = [row for row in limits(guide) if row[2].startswith("`STT_")]
    assert len(settings) > 10
    for _, default, setting in settings:
        value = DEFAULTS[setting.strip("`").removeprefix("STT_").lower()]
        found = AMOUNT.fullmatch(default)
        assert amount(*found.groups()) == value if found else not value, setting


@pytest.mark.parametrize("fixed", [CONFIG_BYTES, MAX_MARKS])
def test_the_table_of_limits_has_those_that_are_fixed(fixed: int, guide: str) -> None:
    found = [AMOUNT.fullmatch(row[1]) for row in limits(guide) if not row[2]]
    assert fixed in [amount(*each.groups()) for each in found if each]


def test_a_default_that_the_guide_names_beside_its_setting_is_the_default(guide: str) -> None:
    named = [(amount(number, unit), setting.lower()) for number, unit, setting in WRITTEN_BEHIND.findall(guide)]
    assert len(named) > 5
    assert [each for each in named if each[0] != DEFAULTS[each[1]]] == []


# --- metrics --------------------------------------------------------------------------------------------------------

KINDS = {"counter": "카운터", "gauge": "게이지", "summary": "서머리"}


def busy_metrics() -> Metrics:
    """Metrics in which everything has been counted once."""
    metrics = Metrics()
    metrics.session_opened("local")
    metrics.session_refused("draining")
    metrics.session_lags({"sess_0": 0.5})
    metrics.engine_failed("local")
    metrics.speech_uncovered("local", 1.2)
    metrics.engine_used("deepgram", 1.0, 2.0)
    metrics.watch_engine("local", lambda: True)
    return metrics


def families() -> dict[str, tuple[str, set[str]]]:
    """Name of every metric in the guide's spelling, its kind, its labels."""
    found = {}
    for family in text_string_to_metric_families(busy_metrics().render().decode()):
        if not family.name.endswith("_created"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found[name] = (family.type, {label for sample in family.samples for label in sample.labels})
    return found


@pytest.mark.parametrize(("name", "kind", "labels"), [(name, *rest) for name, rest in families().items()])
def test_the_guide_has_every_metric_with_its_kind_and_labels(
    name: str, kind: str, labels: set[str], guide: str
) -> None:
    told = row_of(guide, f"`{name}`")[1]
    assert told.startswith((kind, KINDS[kind]))
    assert set(re.findall("`(.+?)`", told)) == labels


def test_the_guide_makes_no_metric_up(guide: str) -> None:
    assert {row[0].strip("`") for row in rows(guide) if row[0].startswith("`stt_")} == families().keys()
