"""`GET /health`, in go-livepeer's wire shape and for people, and `GET /ready`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fastapi import APIRouter
from pydantic import BaseModel, Field

from livepeer.runner._server.problems import problem_of
from livepeer.runner._server.registration import RegistrationState
from livepeer.runner.errors import PipelineNotReady
from livepeer.runner.state import PipelineState

if TYPE_CHECKING:
    from livepeer.runner._server.caller import WorkerReport
    from livepeer.runner._server.engine import Engine
    from livepeer.runner._server.lifecycle import Lifecycle


class LoadNow(BaseModel):
    """What the runner does at the moment."""

    running: int = Field(description="Calls, or streams, that run")
    waiting: int = Field(description="Calls that wait for a slot")
    slots: int = Field(description="How many may run at a time")


class SetupProgress(BaseModel):
    """How far `setup()` is, as the pipeline tells."""

    message: str
    fraction: float | None = Field(None, description="From 0 to 1")


class WorkerNow(BaseModel):
    """One model process."""

    number: int = Field(description="Which, from 0 up")
    status: PipelineState
    message: str | None = Field(None, description="Why it is so; absent when there is no more")
    pid: int | None = Field(None, description="Absent while there is none that works")
    gpus: str | None = Field(None, description="Its `CUDA_VISIBLE_DEVICES`, where GPUs were dealt")
    running: int = Field(description="Calls that run in it")
    restarts: int = Field(description="How many processes followed another")


class HealthResponse(BaseModel):
    """The answer of `GET /health` (go-livepeer `ai/worker/runner.gen.go`, `HealthCheck`).

    go-livepeer reads `status` alone; the rest is for people and their tools.
    """

    status: PipelineState
    message: str | None = Field(None, description="Why it is so; absent when there is no more")
    since: datetime = Field(description="When this state began")
    version: str = Field(description="As in `/version`")
    load: LoadNow
    workers: list[WorkerNow] | None = Field(
        None, description="The model processes, where there are several"
    )
    setup: SetupProgress | None = Field(None, description="While it is LOADING, if it tells")
    registration: RegistrationState = Field(
        description="Whether an orchestrator knows the runner; `none` where none is to know"
    )


class ReadyResponse(BaseModel):
    """The answer of `GET /ready` when work is taken."""

    status: PipelineState


def health_router(lifecycle: Lifecycle, engine: Engine, version: str) -> APIRouter:
    """Answer `GET /health` with status 200 whatever the state, and `GET /ready` with 503 until it
    is OK (or IDLE); both without a token, and HEAD as GET without a body.

    Args:
        lifecycle: What knows the state.
        engine: What knows the load.
        version: As in `/version`.
    """
    router = APIRouter(tags=["service"])

    # HEAD is what some load balancers ask; the server below leaves the body out.
    @router.head("/health", include_in_schema=False)
    @router.get("/health", summary="State of the pipeline", response_model_exclude_none=True)
    async def health() -> HealthResponse:
        step = lifecycle.progress.step
        is_loading = lifecycle.state is PipelineState.LOADING
        return HealthResponse(
            status=lifecycle.state,
            message=lifecycle.message,
            since=datetime.fromtimestamp(lifecycle.since, UTC).replace(microsecond=0),
            version=version,
            load=LoadNow(**engine.load._asdict()),
            workers=[_worker(report) for report in engine.workers] or None,
            setup=SetupProgress(**step._asdict()) if step is not None and is_loading else None,
            registration=lifecycle.registration.state,
        )

    @router.head("/ready", include_in_schema=False)
    @router.get(
        "/ready",
        summary="Whether work is taken",
        responses={503: {"description": "Not yet, not now, or no longer"}},
    )
    async def ready() -> ReadyResponse:
        if lifecycle.refusal is not None:
            raise problem_of(PipelineNotReady(lifecycle.refusal))
        state = lifecycle.state
        if state in (PipelineState.ERROR, PipelineState.LOADING):  # a model may be lost again
            why = lifecycle.message or f"the pipeline is not ready ({state.value})"
            raise problem_of(PipelineNotReady(why))
        return ReadyResponse(status=state)

    return router


def _worker(report: WorkerReport) -> WorkerNow:
    return WorkerNow(
        number=report.number,
        status=report.state,
        message=report.message,
        pid=report.pid,
        gpus=report.gpus,
        running=report.busy,
        restarts=report.restarts,
    )
