"""The two routes that are asked many times a second, in front of FastAPI: its way to a handler costs several times what
the handler does. ``server.routes.openapi`` describes them by hand.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from server.errors import RequestError
from server.routes.as_meant import AsMeant
from server.routes.problems import method_not_allowed, problem_of, unforeseen
from server.settings import Settings
from server.streaming_manager import StreamingSessionManager

log = logging.getLogger("stt.routes")

PATH = re.compile(r"^/sessions/([^/]+)/(audio|stream)/?$")


@dataclass(slots=True)
class HotRequest:
    """A request for one of these routes. ``headers``: as they came, names in lower case, the last value of each."""

    session_id: str
    scope: Scope
    receive: Receive
    headers: Mapping[bytes, bytes]
    manager: StreamingSessionManager
    settings: Settings


class Answer(Response):
    """A response whose headers are bytes already. ``headers``: all but the length."""

    def __init__(self, body: bytes, *headers: tuple[bytes, bytes]) -> None:
        self.status_code = 200
        self.background = None
        self.body = body
        self.raw_headers = [(b"content-length", b"%d" % len(body)), *headers]


Handler = Callable[[HotRequest], Awaitable[Response]]


class HotRoutes:
    """ASGI: answers these routes itself and hands everything else to ``app``.

    ``handlers``: method and handler by the last part of the path. ``cors``: options of the CORSMiddleware that only
    requests of browsers go through.
    """

    def __init__(self, app: ASGIApp, handlers: Mapping[str, tuple[str, Handler]], cors: Mapping[str, Any]) -> None:
        self._app = app
        self._handlers = handlers
        self._for_browsers = CORSMiddleware(self._answer, **cors)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _found(scope) is None:
            await self._app(scope, receive, send)
        elif any(name == b"origin" for name, _ in scope["headers"]):
            await self._for_browsers(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _found(scope)
        assert found is not None
        session_id, name = found.groups()
        method, handler = self._handlers[name]
        try:
            asked = scope["method"]
            if asked == method or (asked, method) == ("HEAD", "GET"):
                state = scope["app"].state
                request = HotRequest(session_id, scope, receive, dict(scope["headers"]), state.manager, state.settings)
                response = await handler(request)
                if asked == "HEAD":  # its headers alone, also of what would never end
                    response = Response(status_code=response.status_code, headers=dict(response.headers))
            else:
                response = method_not_allowed(method)
        except RequestError as exc:
            response = problem_of(exc)
        except Exception as exc:  # noqa: BLE001 - the error handler of these routes
            log.error("%s %s: unforeseen", scope["method"], name, exc_info=exc)
            response = unforeseen()
        await response(scope, receive, send)


def _found(scope: Scope) -> re.Match[str] | None:
    return PATH.match(scope["path"].removeprefix(scope.get("root_path", "")))


def put_in_front(app: FastAPI, handlers: Mapping[str, tuple[str, Handler]], cors: Mapping[str, Any]) -> None:
    """Have these routes answered before the middleware of ``app``."""
    build_stack = app.build_middleware_stack
    app.build_middleware_stack = lambda: HotRoutes(AsMeant(build_stack()), handlers, cors)  # type: ignore[method-assign]
