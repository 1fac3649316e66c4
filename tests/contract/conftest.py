"""The kinds of recognizers, for the tests of their contract."""

from collections.abc import AsyncIterator

import pytest

from tests.support.recognizers import KINDS, Kind


@pytest.fixture(params=KINDS)
async def kind(request: pytest.FixtureRequest) -> AsyncIterator[Kind]:
    if request.param == "whisper":
        request.getfixturevalue("speech_dir")
    async with KINDS[request.param]() as kind:
        yield kind
