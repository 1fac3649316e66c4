"""What the server gives to browsers, seen without one: the page's files and ``/usage`` in its two forms."""

import re

import httpx
import pytest

from server.routes.pages import KOREAN_EVENTS, KOREAN_STEPS, quality
from server.routes.usage import usage
from tests.support.servers import ROOT

WEB = ROOT / "server" / "web"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize("path", ["/", "/usage"])
async def test_a_page_has_a_policy_that_allows_this_server_only(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path, headers={"Accept": BROWSER})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "http" not in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/", "/usage"])
async def test_a_page_names_only_files_that_are_there(http: httpx.AsyncClient, path: str) -> None:
    page = (await http.get(path, headers={"Accept": BROWSER})).text
    named = re.findall(r'(?:src|href)="(web/[^"]+)"', page)
    assert len(named) >= 3
    for name in named:
        assert (await http.get(f"/{name}")).status_code == 200, name


@pytest.mark.parametrize("name", sorted(path.name for path in WEB.glob("*.js")))
async def test_a_script_is_served_as_one_with_what_it_imports(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.get(f"/web/{name}", headers={"Origin": "http://localhost:3000"})
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    for imported in re.findall(r"from '\./([^']+)'", answer.text):
        assert (WEB / imported).exists()


def test_the_files_that_the_module_needs_are_named_at_its_head() -> None:
    needed, found = {"stt-client.js"}, set[str]()
    while needed > found:
        found |= needed
        for name in found:
            needed |= set(re.findall(r"(?:from |URL\()'\./([\w-]+\.js)'", (WEB / name).read_text("utf-8")))
    assert len(needed) > 10
    head = (WEB / "stt-client.js").read_text("utf-8").partition("*/")[0]
    assert needed <= set(re.findall(r"[\w-]+\.js", head))


async def test_a_file_that_has_not_changed_is_not_sent_again(http: httpx.AsyncClient) -> None:
    first = await http.get("/web/stt-client.js")
    assert first.headers["cache-control"] == "no-cache"
    again = await http.get("/web/stt-client.js", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpages.py", "%2Fetc%2Fpasswd", "..%5cpages.py", ".", "%00"])
async def test_nothing_else_can_be_had(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.get(f"/web/{name}")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "application/json, text/html;q=0.5", "text/html;q=0", ""]
)
async def test_a_program_reads_usage_as_json(http: httpx.AsyncClient, accept: str) -> None:
    answer = await http.get("/usage", headers={"Accept": accept})
    assert answer.json() == usage(str(http.base_url).rstrip("/"))
    assert answer.headers["vary"].startswith("Accept")


async def test_a_person_reads_usage_as_a_page_with_the_commands_of_this_host(http: httpx.AsyncClient) -> None:
    answer = await http.get("/usage", headers={"Accept": BROWSER, "Host": "stt.example.com:8443"})
    assert "curl -N http://stt.example.com:8443/sessions/$SESSION_ID/stream" in answer.text
    assert "import { Microphone, STTClient } from 'http://stt.example.com:8443/web/stt-client.js'" in answer.text
    assert answer.headers["vary"].startswith("Accept, Accept-Language")


@pytest.mark.parametrize(
    ("query", "accepted", "language"),
    [
        ("", "ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("", "en-US,en;q=0.9,ko;q=0.8", "en"),
        ("", "fr", "en"),
        ("?lang=ko", "en", "ko"),
        ("?lang=en", "ko", "en"),
    ],
)
async def test_usage_is_in_the_reader_s_language(
    http: httpx.AsyncClient, query: str, accepted: str, language: str
) -> None:
    answer = await http.get(f"/usage{query}", headers={"Accept": "text/html", "Accept-Language": accepted})
    assert f'<html lang="{language}"' in answer.text


async def test_a_host_cannot_bring_a_script(http: httpx.AsyncClient) -> None:
    answer = await http.get("/usage", headers={"Accept": "text/html", "Host": "x<script>alert(1)</script>"})
    assert "<script>" not in answer.text


def test_every_step_and_every_event_is_told_in_korean() -> None:
    guide = usage("http://localhost:8001")
    assert set(KOREAN_STEPS) == {step["request"] for step in guide["steps"]}
    assert set(KOREAN_EVENTS) == set(guide["events"])


@pytest.mark.parametrize(
    ("header", "wanted", "found"),
    [
        ("text/html", "text/html", 1),
        ("text/*;q=0.4, */*;q=0.1", "text/html", 0.4),
        ("*/*;q=0.7, text/html;q=0.2", "text/html", 0.2),
        ("application/json", "text/html", 0),
        ("text/html; q=high", "text/html", 0),
        ("KO-kr;q=0.5", "ko", 0.5),
    ],
)
def test_the_closest_range_counts(header: str, wanted: str, found: float) -> None:
    assert quality(header, wanted) == found
