"""What a runner tells of itself without a token: `/schema`, `/version` and `/hardware`."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter
from pydantic import BaseModel, Field

from livepeer.runner._server.hardware import Hardware, hardware

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCHEMA: Final = "/schema"


class VersionResponse(BaseModel):
    """Which runner this is."""

    pipeline: str = Field(description="The capability's name")
    model_id: str
    version: str = Field(description="Of the pipeline, as its operator says; else the runner's")
    runner: str = Field(description="Of livepeer-runner")


def about_router(describe: Callable[[], Mapping[str, object]]) -> APIRouter:
    """Answer `/schema` and `GET /hardware`.

    Args:
        describe: Makes what `/schema` answers; called when it is first asked for, on a thread.
    """
    router = APIRouter(tags=["service"])
    known: Mapping[str, object] | None = None

    # Neither is async: both take their time, and so run on a thread.
    # POST as well: an orchestrator sends nothing else, so that callers on the network can ask, too.
    @router.post(SCHEMA, summary="The same, as callers on the network ask for it")
    @router.get(SCHEMA, summary="What the pipeline takes and gives, as JSON Schema")
    def schema() -> dict[str, Any]:
        nonlocal known
        if known is None:
            known = describe()
        return dict(known)

    @router.get("/hardware", summary="The GPUs of this machine", response_model_exclude_none=True)
    def get_hardware() -> Hardware:
        return hardware()

    return router


def version_router(pipeline: str, model_id: str, shown: str) -> APIRouter:
    """Answer `GET /version`; a live runner does so in the words of go-livepeer's AI worker.

    Args:
        pipeline: The capability's name.
        model_id: As for the AI worker.
        shown: The version to tell.
    """
    router = APIRouter(tags=["service"])
    answer = VersionResponse(
        pipeline=pipeline, model_id=model_id, version=shown, runner=version("livepeer-runner")
    )

    @router.get("/version", summary="Which runner this is")
    async def get_version() -> VersionResponse:
        return answer

    return router
