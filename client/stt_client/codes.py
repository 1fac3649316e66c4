"""What a client does about a code of the server: the table ``codes.json``, which the JavaScript SDK has as well."""

import json
from collections.abc import Mapping
from enum import StrEnum
from importlib.resources import files


class Action(StrEnum):
    """``REOPEN``: open a new session with the audio that is still held. ``RESUME``: go on at the answer's offset."""

    RETRY = "retry"
    WAIT = "wait"
    """Like ``RETRY``, but it is no failure: the give-up time starts anew."""
    RESUME = "resume"
    REOPEN = "reopen"
    GIVE_UP = "give_up"
    DONE = "done"


SERVER_AWAY = "server_away"
"""The code of no answer, and of an answer that is not the service's, such as a proxy's page."""


def _actions(where: str) -> Mapping[str, Action]:
    table = json.loads(files(__package__).joinpath("codes.json").read_text("utf-8"))
    return {code: Action(action) for code, action in table[where].items()}


ANSWERS = _actions("answers")
REASONS = _actions("reasons")


def on_answer(code: str) -> Action:
    """What to do about the code of an answer. Codes that a newer server may have are final."""
    return ANSWERS.get(code, Action.GIVE_UP)


def on_reason(reason: str | None) -> Action:
    """What to do about the reason of a ``session_end``."""
    return REASONS.get(reason or "", Action.GIVE_UP)
