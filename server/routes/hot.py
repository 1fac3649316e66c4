"""The two routes that are asked many times a second, in front of FastAPI: its way to a handler costs several times what
the handler does. ``server.routes.openapi`` describes them by hand.
"""

import re
from collections.abc import Awaitable, Callable

from fastapi import Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from server.errors import RequestError
from server.routes.audio import upload_audio
from server.routes.problems import method_not_allowed, problem_of
from server.routes.sse import stream_events

PATH = re.compile(r"^/sessions/([^/]+)/(audio|stream)$")
HANDLERS: dict[str, tuple[str, Callable[[Request, str], Awaitable[Response]]]] = {
    "audio": ("POST", upload_audio),
    "stream": ("GET", stream_events),
}


class HotRoutes:
    """ASGI middleware: answers these routes itself and passes everything else on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = PATH.match(scope["path"].removeprefix(scope.get("root_path", ""))) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        session_id, name = found.groups()
        method, handler = HANDLERS[name]
        try:
            if scope["method"] == method:
                response = await handler(Request(scope, receive), session_id)
            else:
                response = method_not_allowed(method)
        except RequestError as exc:
            response = problem_of(exc)
        await response(scope, receive, send)
