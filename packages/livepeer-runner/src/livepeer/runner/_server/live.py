"""What runs a `LivePipeline` behind the routes of its session source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livepeer.runner._live.manager import SessionManager
from livepeer.runner._server.stream import BYOCSessionSource
from livepeer.runner.state import PipelineState

if TYPE_CHECKING:
    from fastapi import APIRouter

    from livepeer.runner._server.engine import SessionSource
    from livepeer.runner.live import LivePipeline
    from livepeer.runner.settings import Settings


class LiveEngine:
    """Runs the streams of a live pipeline; IDLE while there is none."""

    def __init__(self, pipeline: LivePipeline, settings: Settings) -> None:
        self._sessions = SessionManager(pipeline, settings)
        self._source: SessionSource = BYOCSessionSource(self._sessions)

    async def setup(self) -> None:
        """Run the author's `setup()`."""
        await self._sessions.setup()

    async def close(self) -> None:
        """End every stream and run the author's `teardown()`."""
        await self._sessions.close()

    def ready_state(self) -> PipelineState:
        """OK while a stream runs, else IDLE."""
        return PipelineState.OK if self._sessions.active else PipelineState.IDLE

    def router(self) -> APIRouter:
        """The routes of the session source."""
        return self._source.router()
