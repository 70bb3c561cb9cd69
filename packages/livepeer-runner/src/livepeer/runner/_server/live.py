"""What runs a `LivePipeline` behind the routes of its session sources."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import APIRouter

from livepeer.runner._batch_metrics import Load
from livepeer.runner._live.manager import SessionManager
from livepeer.runner._server.stream import BYOCSessionSource
from livepeer.runner._server.worker import WorkerSessionSource
from livepeer.runner.state import PipelineState

if TYPE_CHECKING:
    from livepeer.runner._live.stage import StageHost
    from livepeer.runner._metrics import LiveMetrics
    from livepeer.runner._server.engine import SessionSource
    from livepeer.runner.settings import Settings


class LiveEngine:
    """Runs the streams of a live pipeline; IDLE while there is none.

    Args:
        host: Where the author's hooks run.
        name: The pipeline's name, by which an AI worker's orchestrator knows it.
        settings: Capacity, intervals and policies.
        metrics: Where sessions are counted.
    """

    workers = ()

    def __init__(
        self, host: StageHost, name: str, settings: Settings, metrics: LiveMetrics
    ) -> None:
        self.metrics = metrics
        self._host = host
        self._sessions = SessionManager(host, name, settings, metrics)
        self._sources: tuple[SessionSource, ...] = (
            BYOCSessionSource(self._sessions),
            WorkerSessionSource(
                self._sessions,
                model_id=settings.model_id or settings.capability_name or name,
                version=settings.version or version("livepeer-runner"),
                start_timeout_s=settings.worker_start_timeout_s,
            ),
        )

    async def setup(self) -> None:
        """Run the author's `setup()`."""
        await self._sessions.setup()

    async def close(self) -> None:
        """End every stream and run the author's `teardown()`."""
        await self._sessions.close()

    @property
    def state(self) -> PipelineState:
        """OK while a stream runs, IDLE when one could; else that of the model."""
        state = self._host.state
        if state is PipelineState.OK and not self._sessions.active:
            return PipelineState.IDLE
        return state

    @property
    def message(self) -> str | None:
        """What there is to know of the model's state."""
        return self._host.message

    @property
    def load(self) -> Load:
        """Streams that run; none ever waits."""
        return Load(self.metrics.sessions, 0, self.metrics.capacity)

    def router(self) -> APIRouter:
        """The routes of the session sources."""
        router = APIRouter()
        for source in self._sources:
            router.include_router(source.router())
        return router
