"""What is counted, as verbs of the domain; Prometheus is behind them."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Summary, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from server.models import EventType

SHORT_ID = 12
"""Characters of a session's id that are enough to tell it from others and too few to open it."""


class _Tallies(Collector):
    """Counts of what happens often, without the lock that a ``Counter`` takes: only the event loop counts."""

    def __init__(self) -> None:
        self.received_bytes = 0
        self.recognised_seconds = 0.0
        self.events = dict.fromkeys(EventType, 0)

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily("stt_received_bytes", "Bytes of audio stored.", self.received_bytes)
        yield CounterMetricFamily("stt_recognised_seconds", "Seconds of audio recognised.", self.recognised_seconds)
        events = CounterMetricFamily("stt_events", "Events published.", labels=["type"])
        for event_type, count in self.events.items():
            events.add_metric([event_type.value], count)
        yield events


class Metrics:
    """One registry for each app."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._opened = Counter("stt_sessions_opened", "Sessions opened.", ["engine"], registry=registry)
        self._refused = Counter("stt_sessions_refused", "Sessions refused.", ["code"], registry=registry)
        self._open = Gauge("stt_sessions_open", "Sessions that have not ended.", registry=registry)
        self._lag = Gauge("stt_session_lag_seconds", "Stored audio not yet taken.", ["session"], registry=registry)
        self._viewers = Gauge("stt_viewers", "Open event streams.", registry=registry)
        self._tallies = _Tallies()
        registry.register(self._tallies)
        self._failures = Counter("stt_engine_failures", "Recognizers that failed.", ["engine"], registry=registry)
        self._uncovered = Counter(
            "stt_uncovered_seconds", "Seconds of speech that could not be read.", ["engine"], registry=registry
        )

        self._sent = Summary(
            "stt_session_sent_seconds", "Seconds of a session's audio sent to a service.", ["engine"], registry=registry
        )
        self._connected = Summary(
            "stt_session_connected_seconds", "Seconds connected to it.", ["engine"], registry=registry
        )
        self._ready = Gauge("stt_engine_ready", "0 while its circuit is open.", ["engine"], registry=registry)

    def session_opened(self, engine: str) -> None:
        self._opened.labels(engine).inc()

    def session_refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    def sessions_open(self, count: int) -> None:
        self._open.set(count)

    def session_lags(self, lags: Mapping[str, float]) -> None:
        """The sessions that this process recognises, each with the seconds of audio not yet taken."""
        self._lag.clear()
        for session_id, seconds in lags.items():
            self._lag.labels(session_id[:SHORT_ID]).set(seconds)

    def viewer_connected(self) -> None:
        self._viewers.inc()

    def viewer_disconnected(self) -> None:
        self._viewers.dec()

    def audio_stored(self, size: int) -> None:
        self._tallies.received_bytes += size

    def audio_recognised(self, seconds: float) -> None:
        self._tallies.recognised_seconds += seconds

    def event_published(self, event_type: EventType) -> None:
        self._tallies.events[event_type] += 1

    def engine_failed(self, engine: str) -> None:
        self._failures.labels(engine).inc()

    def speech_uncovered(self, engine: str, seconds: float) -> None:
        self._uncovered.labels(engine).inc(seconds)

    def engine_used(self, engine: str, sent_seconds: float, connected_seconds: float) -> None:
        """What one session has cost at a service that is paid for."""
        self._sent.labels(engine).observe(sent_seconds)
        self._connected.labels(engine).observe(connected_seconds)

    def watch_engine(self, engine: str, ready: Callable[[], bool]) -> None:
        """Ask ``ready`` whenever the metrics are read."""
        self._ready.labels(engine).set_function(ready)

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)
