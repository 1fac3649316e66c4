"""What a person reads in a browser: the page with the microphone, its files, and ``/usage``."""

import re
from html import escape
from importlib.resources import files
from string import Template
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from server.routes.usage import usage

pages = APIRouter()

WEB = files("server") / "web"
FILES = StaticFiles(packages=[("server", "web")])
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; media-src blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self)",
    "Cache-Control": "no-cache",
}
FILE_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}

KOREAN_STEPS = {
    "POST /sessions": "세션 열기",
    "GET /sessions/{session_id}/stream": "인식 결과를 실시간으로 읽기",
    "POST /sessions/{session_id}/audio": "오디오 보내기: 오디오나 동영상 파일의 바이트, 또는 16 kHz PCM16",
    "DELETE /sessions/{session_id}": "끝내고 전체 글 받기",
}
KOREAN_EVENTS = {
    "token": "말하는 중인 발화의 중간 결과. 앞의 것을 대신한다",
    "final": "더는 바뀌지 않는 글",
    "speech_start": "말하기 시작함",
    "speech_end": "발화가 끝남",
    "heartbeat": "연결이 살아 있음",
    "error": "문제가 생김. `recoverable`이면 세션은 계속된다",
    "session_end": "이 뒤로는 아무것도 오지 않는다",
}


@pages.get("/", include_in_schema=False)
async def page() -> HTMLResponse:
    return HTMLResponse((WEB / "index.html").read_text("utf-8"), headers=HEADERS)


@pages.get("/web/{name}", include_in_schema=False)
async def page_file(name: str, request: Request) -> Response:
    response = await FILES.get_response(name, request.scope)
    response.headers.update(FILE_HEADERS)
    return response


@pages.get("/usage", tags=["system"], response_model=None)
async def usage_guide(
    request: Request,
    lang: Annotated[str, Query(description="Language of the page: `en` or `ko`.", max_length=35)] = "",
) -> Response:
    """How to use the service, as commands to paste, filled in for the host that was asked.

    The answer is HTML where `Accept` prefers that, as in browsers, else JSON.
    """
    accept = request.headers.get("accept", "")
    base_url = str(request.base_url).rstrip("/")
    if quality(accept, "text/html") <= quality(accept, "application/json"):
        return JSONResponse(usage(base_url), headers={"Vary": "Accept"})
    spoken = lang or request.headers.get("accept-language", "")
    korean = quality(spoken, "ko") > quality(spoken, "en")
    headers = HEADERS | {"Vary": "Accept, Accept-Language"}
    return HTMLResponse(usage_page(base_url, "ko" if korean else "en"), headers=headers)


def quality(header: str, wanted: str) -> float:
    """How much an ``Accept`` or ``Accept-Language`` header wants something, by its closest range: from 0 to 1."""
    found, closest = 0.0, -1
    for each in header.lower().split(","):
        offered, _, parameters = each.strip().partition(";")
        prefix = offered.removesuffix("*")
        if offered == wanted or prefix != offered and wanted.startswith(prefix) or offered.startswith(f"{wanted}-"):
            q = parameters.replace(" ", "").partition("q=")[2] or "1"
            if len(prefix) > closest and q.replace(".", "", 1).isdecimal():
                found, closest = float(q), len(prefix)
    return found


def usage_page(base_url: str, language: str) -> str:
    """The guide as HTML, in both languages: the style sheet shows the one of the page."""
    guide = usage(base_url)
    steps = "".join(
        f"<li><h3>{_both(step['title'], KOREAN_STEPS.get(step['request']))}</h3>"
        f"<p><code>{escape(step['request'])}</code></p><pre><code>{escape(step['curl'])}</code></pre></li>"
        for step in guide["steps"]
    )
    events = "".join(
        f"<tr><th scope=row><code>{escape(name)}</code></th><td>{_both(meaning, KOREAN_EVENTS.get(name))}</td></tr>"
        for name, meaning in guide["events"].items()
    )
    formats = "".join(f"<li><code>{escape(each)}</code></li>" for each in guide["transcript_formats"])
    return Template((WEB / "usage.html").read_text("utf-8")).substitute(
        language=language, base_url=escape(base_url), steps=steps, events=events, formats=formats
    )


def _both(english: str, korean: str | None) -> str:
    return f"<span lang=en>{_code(english)}</span><span lang=ko>{_code(korean or english)}</span>"


def _code(text: str) -> str:
    return re.sub("`(.+?)`", r"<code>\1</code>", escape(text))
