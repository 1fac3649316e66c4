"""What an operator, a monitor or a balancer asks."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from server import __version__
from server.engines.base import status_of
from server.observe.metrics import Metrics
from server.routes.dependencies import Limits, Manager
from server.routes.usage import info

system = APIRouter(tags=["system"])


@system.get("/health")
async def health(request: Request, manager: Manager) -> JSONResponse:
    """200 while the server takes sessions; 503 with the same fields while it does not."""
    state = request.app.state
    engines = {name: status_of(engine) for name, engine in state.engines.items()}
    ready = not manager.draining and any(each["ready"] for each in engines.values())
    status = "ok" if ready else "unavailable"
    body = {"status": status, "ready": ready, "version": __version__, "engines": engines, "notes": state.notes}
    return JSONResponse(body, 200 if ready else 503)


@system.get("/info")
async def server_info(request: Request, limits: Limits) -> dict[str, Any]:
    """Engines, languages, formats, limits."""
    return info(request.app.state.capabilities, limits)


@system.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    return Response(request.app.state.metrics.render(), media_type=Metrics.content_type)
