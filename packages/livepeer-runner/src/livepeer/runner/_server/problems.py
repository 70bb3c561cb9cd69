"""From exception to answer: the one table, and the one shape.

Every error of a runner is answered as `{"detail", "type", "request_id"[, "retry_after"]}`: `detail`
is a text, or the list of Pydantic's faults; `type` is a name to branch on; `retry_after` are the
seconds after which another attempt is worth making. An AI worker's route answers in other words
(`worker_answers`).
"""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from fastapi import HTTPException as FastAPIHTTPException
from fastapi.exceptions import RequestValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from livepeer.runner._schema.faults import MalformedBody
from livepeer.runner._server.headers import is_carried, request_id
from livepeer.runner._server.memory import is_out_of_memory
from livepeer.runner._server.outcome import OUTCOME
from livepeer.runner.errors import (
    AtCapacity,
    BodyTooLarge,
    BodyTooSlow,
    DeadlinePassed,
    InputError,
    InvalidParams,
    NoSession,
    OutOfMemory,
    PipelineNotReady,
    RunnerError,
    SessionExists,
    StageAway,
    Unauthorized,
    UnsupportedEncoding,
    describe,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.types import Scope

_log = logging.getLogger(__name__)

_STATUS: Final[tuple[tuple[type[RunnerError], int], ...]] = (
    (MalformedBody, 400),
    (InvalidParams, 422),
    (Unauthorized, 401),
    (BodyTooSlow, 408),
    (BodyTooLarge, 413),
    (UnsupportedEncoding, 415),
    (AtCapacity, 503),
    (OutOfMemory, 503),
    (PipelineNotReady, 503),
    (StageAway, 503),
    (DeadlinePassed, 504),
    (NoSession, 404),
    (SessionExists, 409),
)
_LAST_STATUS: Final = 599
_MAX_DETAIL: Final = 1000
_RETRY_AFTER_S: Final = 1
_FAULT_TEXT: Final = "an internal error; the log says more, under the name of the request"
_FAULT: Final = ("type", "loc", "msg")


class Problem(FastAPIHTTPException):
    """An answer that is an error; raised, it reaches the caller as it is.

    Args:
        status: Of HTTP.
        detail: A text, or a list of faults, for a person.
        kind: The `type` of the answer; by default the name of the status.
        headers: Others than those that name the request.
    """

    def __init__(
        self,
        status: int,
        detail: object,
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.kind = kind or _named(status)

    @property
    def retry_after_s(self) -> int | None:
        """When another attempt is worth making, in whole seconds; None where nobody knows."""
        for name, value in (self.headers or {}).items():
            if name.lower() == "retry-after" and value.isascii() and value.isdigit():
                return int(value[:9])
        return None

    def body(self, name: str) -> dict[str, object]:
        """What is answered, or sent in an error event, as JSON.

        Args:
            name: What names the request.
        """
        detail = _plain(self.detail)
        body: dict[str, object] = {"detail": detail, "type": self.kind, "request_id": name}
        retry_after_s = self.retry_after_s
        if retry_after_s is not None:
            body["retry_after"] = retry_after_s
        return body

    def answer(self, scope: Scope) -> Response:
        """The answer to a request; remembered as what became of it."""
        outcome = OUTCOME.get()
        if outcome is not None:
            outcome.problem = self.kind
        return JSONResponse(self.body(request_id(scope)), self.status_code, self.headers)


def status_of(error: RunnerError) -> int:
    """The status that answers an error of ours; 500 where the table has none."""
    if isinstance(error, InputError):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem_of(error: RunnerError) -> Problem:
    """What answers an error of ours."""
    status = status_of(error)
    detail: object = str(error)
    if isinstance(error, InvalidParams) and error.errors:
        detail = error.errors
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    elif status == 408:
        headers["Connection"] = "close"  # or the rest of the body would be waited for
    elif isinstance(error, AtCapacity):
        headers["Retry-After"] = str(error.retry_after_s)
    elif status == 503:
        headers["Retry-After"] = str(_RETRY_AFTER_S)
    return Problem(status, detail, type(error).__name__, headers)


def author_failure(where: str, error: Exception) -> Problem:
    """Log what the author's code raised, and turn it into the answer for the caller.

    An `HTTPException` of FastAPI's keeps its status, save that 401 becomes 403: the orchestrator
    takes a runner's 401 as its order to drop the capability. An `InputError` has its own status, a
    GPU without memory is 503, and everything else is a 500.

    Args:
        where: What raised it, for the log.
        error: What it raised, or what kept it from being called.
    """
    problem = _of_author(where, error)
    outcome = OUTCOME.get()
    if outcome is not None:
        outcome.problem = problem.kind
    return problem


def fault_of(error: Exception) -> Problem:
    """Log what nobody has foreseen, and turn it into an answer that tells nothing of it."""
    _log.error("a request failed", exc_info=error)
    return _unforeseen(error)


def install(app: FastAPI) -> None:
    """Make every error of the application answer in the one shape."""
    app.add_exception_handler(RunnerError, _on_runner_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_fault)


def _of_author(where: str, error: Exception) -> Problem:
    if isinstance(error, HTTPException) and 400 <= error.status_code <= _LAST_STATUS:
        return _of_http(error)
    if isinstance(error, RunnerError) and status_of(error) != 500:
        return problem_of(error)
    _log.error("%s raised %s", where, type(error).__name__, exc_info=error)
    if is_out_of_memory(error):
        return problem_of(OutOfMemory(describe(error, _MAX_DETAIL)))
    return Problem(500, describe(error, _MAX_DETAIL), type(error).__name__)


def _of_http(error: HTTPException) -> Problem:
    if isinstance(error, Problem):
        return error
    status = 403 if error.status_code == 401 else error.status_code
    detail: object = error.detail
    return Problem(status, detail, headers=_carried(error.headers))


def _carried(headers: Mapping[str, str] | None) -> dict[str, str]:
    """The headers of an author's answer, without those that would end the connection."""
    given = headers or {}
    carried = {name: value for name, value in given.items() if is_carried(name, value)}
    for name in given.keys() - carried.keys():
        _log.warning("the header %r of an answer has a value that HTTP cannot carry", name)
    return carried


async def _on_runner_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RunnerError)
    return problem_of(error).answer(request.scope)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code < 400:
        return Response(status_code=error.status_code, headers=_carried(error.headers))
    return _of_http(error).answer(request.scope)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # Without `input`: the body may be megabytes of picture, or hold a secret.
    faults = [{key: fault[key] for key in _FAULT} for fault in error.errors()]
    if any(fault["type"] == "json_invalid" for fault in faults):
        return Problem(400, faults, MalformedBody.__name__).answer(request.scope)
    return Problem(422, faults, InvalidParams.__name__).answer(request.scope)


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)  # nobody is there to read it


async def _on_fault(request: Request, error: Exception) -> Response:
    # Starlette raises the error again after this answer, and the server logs it.
    return _unforeseen(error).answer(request.scope)


def _unforeseen(error: Exception) -> Problem:
    if is_out_of_memory(error):
        return problem_of(OutOfMemory(describe(error, _MAX_DETAIL)))
    return Problem(500, _FAULT_TEXT, "InternalError")


def _named(status: int) -> str:
    try:
        return re.sub(r"\W", "", HTTPStatus(status).phrase)
    except ValueError:
        return "HTTPException"


def _plain(detail: object) -> object:
    """What JSON can hold of a detail, which may be anything that an author gives."""
    if isinstance(detail, str):
        return detail.encode(errors="replace").decode()
    try:
        return to_jsonable_python(detail, fallback=str, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError):
        return f"(a {type(detail).__name__} that is no JSON)"
