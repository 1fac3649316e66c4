"""The microphone: a Streamlit component that records in the browser and uploads straight to the speech server."""

from dataclasses import dataclass
from pathlib import Path

import streamlit.components.v1 as components

from stt_streamlit.i18n import Words
from stt_streamlit.sidebar import Settings

_component = components.declare_component("microphone", Path(__file__).parent / "microphone_component")


@dataclass(frozen=True, slots=True)
class Heard:
    """The session that the browser has opened."""

    session_id: str
    url: str


def show_microphone(words: Words, settings: Settings) -> Heard | None:
    """Draw it; gives the newest session of this browser's microphone. What is asked holds from the next one on."""
    value = _component(
        server_url=settings.url,
        api_key=settings.api_key,
        config=settings.config,
        texts=words.starting_with("mic_"),
        language=words.tongue,
        key="microphone",
    )
    return Heard(value["session_id"], value["server_url"]) if value else None
