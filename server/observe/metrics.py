"""What is counted, as verbs of the domain; Prometheus is behind them."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Summary, generate_latest

from server.models import EventType

SHORT_ID = 12
"""Characters of a session's id that tell it from others and open nothing."""


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
        self._received = Counter("stt_received_bytes", "Bytes of audio stored.", registry=registry)
        self._recognised = Counter("stt_recognised_seconds", "Seconds of audio recognised.", registry=registry)
        self._events = Counter("stt_events", "Events published.", ["type"], registry=registry)
        self._published = {each: self._events.labels(each.value) for each in EventType}
        self._failures = Counter("stt_engine_failures", "Recognizers that failed.", ["engine"], registry=registry)

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
        self._received.inc(size)

    def audio_recognised(self, seconds: float) -> None:
        self._recognised.inc(seconds)

    def event_published(self, event_type: EventType) -> None:
        self._published[event_type].inc()

    def engine_failed(self, engine: str) -> None:
        self._failures.labels(engine).inc()

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
