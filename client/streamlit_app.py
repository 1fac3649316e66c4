"""The Streamlit client. ``streamlit run client/streamlit_app.py --server.port 8501``.

Nothing needs to be installed but the libraries: Streamlit puts this file's folder on the path.
"""

import streamlit as st

from stt_client.mp4_index import index_first
from stt_streamlit.i18n import Words
from stt_streamlit.microphone import show_microphone
from stt_streamlit.session import Background
from stt_streamlit.sidebar import STATUS_SECONDS, Settings, choose_settings, choose_tongue, show_away_banner
from stt_streamlit.state import LiveSession, SessionView
from stt_streamlit.view import show_session

AUDIO_TYPES = ["wav", "flac", "mp3", "ogg", "opus", "webm", "m4a", "mp4", "aac", "pcm", "raw"]


@st.cache_resource(
    scope="session", show_spinner=False, on_release=Background.close, validate=lambda background: background.alive
)
def background_of_this_browser() -> Background:
    """Closed by Streamlit when the browser goes away; a browser that comes back gets a new one."""
    return Background()


def main() -> None:
    st.set_page_config("STT", "🎙️", layout="wide")
    background = background_of_this_browser()
    sessions: list[LiveSession] = st.session_state.setdefault("sessions", [])
    with st.sidebar:
        words = choose_tongue()
        settings = choose_settings(words, background)
    st.header(words("title"))
    st.caption(words("subtitle"))
    st.fragment(show_away_banner, run_every=STATUS_SECONDS)(words, background)
    microphone_tab, file_tab = st.tabs([words("microphone"), words("file")])
    with microphone_tab:
        take_microphone(words, settings, sessions)
    with file_tab:
        take_file(words, settings, sessions)
    for live in sessions:
        background.carry_on(live)
    if shown := choose_session(words, sessions):
        show_session(words, shown, background.flush)
    else:
        st.info(words("nothing_yet"), icon=":material/mic:")


def take_microphone(words: Words, settings: Settings, sessions: list[LiveSession]) -> None:
    heard = show_microphone(words, settings)
    if heard and heard.session_id not in {live.view.session_id for live in sessions}:
        view = SessionView(session_id=heard.session_id)
        add(sessions, LiveSession("microphone", words("microphone"), heard.url, settings.api_key, view=view))


def take_file(words: Words, settings: Settings, sessions: list[LiveSession]) -> None:
    chosen = st.file_uploader(words("choose_file"), AUDIO_TYPES, help=words("file_types"), key="file")
    if st.button(words("transcribe"), icon=":material/play_arrow:", type="primary", disabled=chosen is None) and chosen:
        audio = b"".join(index_first(chosen.getvalue()))
        add(sessions, LiveSession("file", chosen.name, settings.url, settings.api_key, settings.config, audio))


def add(sessions: list[LiveSession], live: LiveSession) -> None:
    """Begin a session, and show it."""
    sessions.append(live)
    st.session_state["shown"] = live.key


def choose_session(words: Words, sessions: list[LiveSession]) -> LiveSession | None:
    """The newest session, or another one that the user wants to see again."""
    if len(sessions) < 2:
        return sessions[0] if sessions else None
    by_key = {live.key: live for live in reversed(sessions)}
    labels = {live.key: f"{number}. {live.name}" for number, live in enumerate(sessions, start=1)}
    shown = st.selectbox(words("sessions"), list(by_key), format_func=labels.__getitem__, key="shown")
    return by_key[shown]


if __name__ == "__main__":
    main()
