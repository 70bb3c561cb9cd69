"""From exception to answer: the one table, and the one shape `{"detail": ...}`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fastapi import HTTPException as FastAPIHTTPException
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from livepeer.runner._schema.contract import MalformedBody
from livepeer.runner.errors import (
    AtCapacity,
    InvalidParams,
    NoSession,
    PipelineNotReady,
    RunnerError,
    SessionExists,
    StageAway,
    describe,
)

if TYPE_CHECKING:
    from fastapi import FastAPI

_log = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[RunnerError], int], ...] = (
    (MalformedBody, 400),
    (InvalidParams, 422),
    (AtCapacity, 503),
    (PipelineNotReady, 503),
    (StageAway, 503),
    (NoSession, 404),
    (SessionExists, 409),
)
_MAX_DETAIL = 1000


def status_of(error: RunnerError) -> int:
    """The status that answers an error of ours; 500 where the table has none."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def author_failure(where: str, error: Exception) -> HTTPException:
    """Log what the author's code raised, and turn it into the answer for the caller.

    An `HTTPException` of FastAPI's keeps its status, save that 401 becomes 403: the orchestrator
    takes a runner's 401 as its order to drop the capability. Everything else is a 500.
    """
    if isinstance(error, HTTPException) and error.status_code >= 400:
        status = 403 if error.status_code == 401 else error.status_code
        return FastAPIHTTPException(status, error.detail, dict(error.headers or {}))
    if isinstance(error, InvalidParams):
        return FastAPIHTTPException(422, error.errors or str(error))
    _log.error("%s raised %s", where, type(error).__name__, exc_info=error)
    return FastAPIHTTPException(500, describe(error, _MAX_DETAIL))


def install(app: FastAPI) -> None:
    """Make every error of the application answer in the one shape."""
    app.add_exception_handler(RunnerError, _on_runner_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_fault)


async def _on_runner_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RunnerError)
    detail: object = str(error)
    headers: dict[str, str] = {}
    if isinstance(error, InvalidParams) and error.errors:
        detail = error.errors
    if isinstance(error, AtCapacity):
        headers["Retry-After"] = str(error.retry_after_s)
    elif isinstance(error, (PipelineNotReady, StageAway)):
        headers["Retry-After"] = "1"
    return JSONResponse({"detail": detail}, status_of(error), headers)


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)  # nobody is there to read it


async def _on_fault(_request: Request, _error: Exception) -> Response:
    # Starlette raises the error again after this answer, and the server logs it.
    return JSONResponse({"detail": "internal error of the runner"}, 500)
