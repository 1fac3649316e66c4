"""What the tests send and then find in a refusal, and a session that must not be harmed by it."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.support.fake_engine import said, speech
from tests.support.wire import finish, open_session, upload

PCM = speech([1, 2])
RAW = {"Content-Type": "application/octet-stream"}
JSON = {"Content-Type": "application/json"}


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def problem_of(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document, which has all that RFC 9457 and the contract ask for."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = dict(answer.json())
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] and body["title"] and body["detail"]
    return body


def fields_of(answer: httpx.Response) -> list[str]:
    return [each["field"] for each in problem_of(answer, 422, "invalid_request")["errors"]]


@pytest.fixture(name="session")
async def session_fixture(http: httpx.AsyncClient) -> AsyncIterator[str]:
    """A session with audio; after the test it stands where it stood, and goes on as if nothing had been."""
    session_id = await open_session(http)
    await upload(http, session_id, PCM)
    yield session_id
    assert (await http.get(f"/sessions/{session_id}")).json()["offset"] == len(PCM)
    assert (await upload(http, session_id, speech([3]))).status_code == 200
    assert (await finish(http, session_id))["text"] == " ".join(said([1, 2], [3]))
