"""``STT_SESSION_LOG``: which log a server keeps its sessions in."""

import pytest

from server.errors import CannotStart
from server.session_log.memory import MemorySessionLog
from server.session_log.registry import LOGS, make_log
from tests.support.servers import settings_of


def test_by_default_sessions_are_kept_in_memory() -> None:
    assert isinstance(make_log(settings_of()), MemorySessionLog)


@pytest.mark.parametrize("url", ["memory:", "memory://"])
def test_a_log_is_named_by_its_scheme(url: str) -> None:
    assert isinstance(make_log(settings_of(session_log=url)), MemorySessionLog)


def test_every_log_that_is_listed_can_be_made() -> None:
    for name in LOGS:
        assert make_log(settings_of(session_log=f"{name}:")) is not None


@pytest.mark.parametrize("url", ["", "papyrus:", "papyrus://secret@host/1"])
def test_another_one_is_refused_in_a_sentence_that_names_those_there_are(url: str) -> None:
    with pytest.raises(CannotStart, match=r"there is memory:") as refusal:
        make_log(settings_of(session_log=url))
    assert "secret" not in str(refusal.value)
