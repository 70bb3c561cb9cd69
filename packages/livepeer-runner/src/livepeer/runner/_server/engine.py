"""What the server needs of a pipeline, be it batch or live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import APIRouter

    from livepeer.runner._batch_metrics import Load
    from livepeer.runner._metrics import LiveMetrics
    from livepeer.runner._server.caller import WorkerReport
    from livepeer.runner.state import PipelineState


class Engine(Protocol):
    """Runs the author's class behind its routes."""

    @property
    def metrics(self) -> LiveMetrics | None:
        """What its sessions count; None where it has none."""
        ...

    @property
    def load(self) -> Load:
        """What runs and waits at the moment."""
        ...

    @property
    def workers(self) -> Sequence[WorkerReport]:
        """What there is to tell of each model process of a batch pipeline."""
        ...

    async def setup(self) -> None:
        """Run the author's `setup()`; called once. Raises what it raises."""
        ...

    async def close(self) -> None:
        """End what runs and let go of everything; called once, also when `setup()` failed."""
        ...

    @property
    def state(self) -> PipelineState:
        """LOADING until the author's `setup()` has succeeded, then OK, or IDLE without work;
        ERROR while it fails and is tried again."""
        ...

    @property
    def message(self) -> str | None:
        """What a person should know of the state; None when there is nothing."""
        ...

    def router(self) -> APIRouter:
        """The routes, with their part of the documents."""
        ...


class SessionSource(Protocol):
    """Takes the network's word for sessions, and drives `Sessions` by it.

    BYOC's routes are the first; a live runner's and go-livepeer's own AI worker's are others.
    """

    def router(self) -> APIRouter:
        """The routes by which the network reaches this source."""
        ...
