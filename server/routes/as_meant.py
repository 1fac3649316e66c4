"""Requests that mean a route without naming it to the letter: a slash at the end, ``HEAD`` where there is ``GET``."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class AsMeant:
    """ASGI: hands requests to ``app`` as they were meant. A redirect would lose their bodies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        meant = dict(scope)
        if len(path := scope["path"]) > 1 and path.endswith("/"):
            meant["path"] = path.rstrip("/") or "/"
            meant["raw_path"] = meant["path"].encode("utf-8", "surrogateescape")
        if scope["method"] == "HEAD":
            meant["method"], send = "GET", _without_body(send)
        await self._app(meant, receive, send)


def _without_body(send: Send) -> Send:
    async def send_headers(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_headers
