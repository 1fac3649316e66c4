"""What each of Deepgram's models can do, and a session's config as the query of its live endpoint. No I/O.

The tables are as Deepgram published them in October 2026. Deepgram answers a pair of model and language that it does
not have with HTTP 400 when the stream is opened; asked here first, the client learns it when it opens the session.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from server.engines.base import SAMPLE_RATE, Capabilities
from server.engines.speech.endpointing import endpointing_seconds
from server.errors import EngineError
from server.models import SessionConfig

ENGLISH = frozenset("en en-US en-AU en-GB en-IN en-NZ".split())
MEDICAL_ENGLISH = ENGLISH | {"en-CA", "en-IE"}
NOVA_2 = ENGLISH | frozenset(
    """
    bg ca cs da da-DK de de-CH el es es-419 et fi fr fr-CA hi hu id it ja ko ko-KR lt lv ms multi nl nl-BE no pl pt
    pt-BR pt-PT ro ru sk sv sv-SE th th-TH tr uk vi zh zh-CN zh-HK zh-Hans zh-Hant zh-TW
    """.split()
)
NOVA_3 = NOVA_2 | frozenset(
    """
    af ar ar-AE ar-DZ ar-EG ar-IQ ar-IR ar-JO ar-KW ar-LB ar-MA ar-PS ar-QA ar-SA ar-SD ar-SY ar-TD ar-TN be bn bs fa
    gu gu-IN he hr hy ka kk kk-KZ kn mk mr ne pa sl sr ta te tl ur
    """.split()
)
NOVA_2_DOMAINS = "meeting finance conversationalai voicemail video medical drivethru automotive phonecall atc".split()
MODELS: dict[str, frozenset[str]] = {
    "nova-3": NOVA_3,
    "nova-3-general": NOVA_3,
    "nova-3-medical": MEDICAL_ENGLISH | {"multi"},
    "nova-3-pharma": MEDICAL_ENGLISH,
    "nova-2": NOVA_2,
    "nova-2-general": NOVA_2,
} | {f"nova-2-{domain}": frozenset({"en", "en-US"}) for domain in NOVA_2_DOMAINS}

DEFAULT_MODEL = "nova-2"
"""The model of a session that asks for none."""
CUSTOM_MODEL = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
BOOST = re.compile(r"^[^:]+(:-?\d+(\.\d+)?)?$")
KEYTERM_TOKENS = 500
KEYTERM_BYTES_PER_TOKEN = 4
"""A guess on the generous side: only what is surely too much is refused here."""
LEAST_UTTERANCE_END_MS = 1000
LIVE_PATH = "/v1/listen"


@dataclass(frozen=True, slots=True)
class DeepgramCapabilities(Capabilities):
    """Depends on the model: see :meth:`refusals`. ``languages`` are those of all models together."""

    languages: frozenset[str] = frozenset().union(*MODELS.values())
    keywords: bool = True
    utterance_end: bool = True
    punctuate: bool = True
    models: frozenset[str] = frozenset(MODELS)

    def refusals(self, config: SessionConfig) -> dict[str, str]:
        refused = Capabilities.refusals(self, config)  # super() does not work in a dataclass with slots
        refused.pop("language", None)
        refused |= _refused_model(config)
        if "model" not in refused and (reason := _refused_keywords(config)):
            refused["keywords"] = reason
        return refused


def model_of(config: SessionConfig) -> str:
    return config.model or DEFAULT_MODEL


def _refused_model(config: SessionConfig) -> dict[str, str]:
    model = model_of(config)
    if CUSTOM_MODEL.match(model):
        return {}
    languages = MODELS.get(model)
    if languages is None:
        return {"model": f"there is no such model; there is {', '.join(MODELS)}, or the id of a model of your own"}
    if config.language not in languages:
        return {"language": f"{model} knows {', '.join(sorted(languages))}"}
    return {}


def _refused_keywords(config: SessionConfig) -> str | None:
    model = model_of(config)
    if takes_keyterms(model):
        if any(re.search(r":-?\d+(\.\d+)?$", term) for term in config.keywords):
            return f"{model} takes terms without a weight"
        size = sum(len(term.encode()) for term in config.keywords)
        if size > KEYTERM_TOKENS * KEYTERM_BYTES_PER_TOKEN:
            return f"{model} takes {KEYTERM_TOKENS} tokens in all; these are about {size // 4}"
    elif wrong := [term for term in config.keywords if not BOOST.match(term)]:
        return f"{model} takes a word or word:weight, not {wrong[0]!r}"
    return None


def takes_keyterms(model: str) -> bool:
    """Whether the model takes ``keyterm``; the others take ``keywords``."""
    return model.startswith("nova-3")


def live_query(config: SessionConfig, endpointing_default_ms: int | None) -> list[tuple[str, str]]:
    """The parameters of one stream of 16 kHz mono PCM16.

    The language is always among them: without one Deepgram hears English in everything. So is ``utterance_end_ms``:
    in noise it is the only sign that an utterance is over.
    """
    endpointing_ms = round(endpointing_seconds(config, endpointing_default_ms) * 1000)
    utterance_end_ms = config.utterance_end_ms or max(endpointing_ms, LEAST_UTTERANCE_END_MS)
    # an UtteranceEnd is made from interims, so a client that asks for it gets both; what is published is our matter
    interim_results = config.interim_results or config.utterance_end_ms is not None
    query = {
        "model": model_of(config),
        "language": config.language,
        "encoding": "linear16",
        "sample_rate": str(SAMPLE_RATE),
        "channels": "1",
        "interim_results": _flag(interim_results),
        "smart_format": _flag(config.smart_format),
        "punctuate": _flag(config.punctuate),
        "vad_events": "true",
        "endpointing": str(endpointing_ms),
    }
    if interim_results:
        query["utterance_end_ms"] = str(utterance_end_ms)
    name = "keyterm" if takes_keyterms(model_of(config)) else "keywords"
    return [*query.items(), *((name, term) for term in config.keywords)]


def _flag(value: bool) -> str:
    return "true" if value else "false"


def live_url(base_url: str, query: list[tuple[str, str]]) -> str:
    """Where to open the stream. ``base_url`` may be a host, or end in ``/v1`` or ``/v1/listen``.

    Raises:
        EngineError: it is no http, https, ws or wss URL.

    """
    parts = urlsplit(base_url.strip())
    scheme = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise EngineError("DEEPGRAM_BASE_URL must look like wss://api.eu.deepgram.com", retryable=False)
    path = parts.path.rstrip("/").removesuffix(LIVE_PATH).removesuffix("/v1") + LIVE_PATH
    return urlunsplit((scheme, parts.netloc, path, urlencode(query), ""))
