"""The states that `GET /health` reports."""

from __future__ import annotations

from enum import StrEnum


class PipelineState(StrEnum):
    """Where a pipeline is in its life, in go-livepeer's words.

    Source of the values: go-livepeer `ai/worker/runner.gen.go`, `HealthCheckStatus`.
    """

    LOADING = "LOADING"
    """`setup()` has not finished."""

    OK = "OK"
    """Ready; for a live pipeline, with at least one session."""

    ERROR = "ERROR"
    """`setup()` failed; the process is about to end."""

    IDLE = "IDLE"
    """A live pipeline that is ready and has no session."""
