"""`GET /health`, in go-livepeer's wire shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from pydantic import BaseModel

from livepeer.runner.state import PipelineState

if TYPE_CHECKING:
    from collections.abc import Callable


class HealthResponse(BaseModel):
    """The answer of `GET /health` (go-livepeer `ai/worker/runner.gen.go`, `HealthCheck`).

    Attributes:
        status: The state, all that go-livepeer reads.
        message: What a person should know of it; absent when there is nothing.
    """

    status: PipelineState
    message: str | None = None


def health_router(
    state: Callable[[], PipelineState], message: Callable[[], str | None]
) -> APIRouter:
    """Answer `GET /health` with the state, always with status 200 and without a token."""
    router = APIRouter()

    @router.get("/health", summary="State of the pipeline", response_model_exclude_none=True)
    async def health() -> HealthResponse:
        return HealthResponse(status=state(), message=message())

    return router
