"""What a route needs of the app. Asynchronous, because FastAPI runs synchronous dependencies in a thread pool."""

from typing import Annotated

from fastapi import Depends, Request

from server.settings import Settings
from server.streaming_manager import StreamingSessionManager


async def manager_of(request: Request) -> StreamingSessionManager:
    manager: StreamingSessionManager = request.app.state.manager
    return manager


async def settings_of(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


Manager = Annotated[StreamingSessionManager, Depends(manager_of)]
Limits = Annotated[Settings, Depends(settings_of)]
