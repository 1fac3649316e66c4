"""What is counted, as verbs of the domain; Prometheus is behind them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from server.models import EventType


class Metrics:
    """One registry for each app."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._opened = Counter("stt_sessions_opened", "Sessions opened.", ["engine"], registry=registry)
        self._refused = Counter("stt_sessions_refused", "Sessions refused.", ["code"], registry=registry)
        self._open = Gauge("stt_sessions_open", "Sessions that have not ended.", registry=registry)
        self._viewers = Gauge("stt_viewers", "Open event streams.", registry=registry)
        self._received = Counter("stt_received_bytes", "Bytes of audio stored.", registry=registry)
        self._recognised = Counter("stt_recognised_seconds", "Seconds of audio recognised.", registry=registry)
        self._events = Counter("stt_events", "Events published.", ["type"], registry=registry)
        self._failures = Counter("stt_engine_failures", "Recognizers that failed.", ["engine"], registry=registry)

    def session_opened(self, engine: str) -> None:
        self._opened.labels(engine).inc()

    def session_refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    def sessions_open(self, count: int) -> None:
        self._open.set(count)

    def viewer_connected(self) -> None:
        self._viewers.inc()

    def viewer_disconnected(self) -> None:
        self._viewers.dec()

    def audio_stored(self, size: int) -> None:
        self._received.inc(size)

    def audio_recognised(self, seconds: float) -> None:
        self._recognised.inc(seconds)

    def event_published(self, event_type: EventType) -> None:
        self._events.labels(event_type.value).inc()

    def engine_failed(self, engine: str) -> None:
        self._failures.labels(engine).inc()

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)
