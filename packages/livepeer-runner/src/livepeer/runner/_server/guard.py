"""What a request that asks for work must pass: the token, readiness, the size of its body."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import TYPE_CHECKING, Final

from starlette.routing import Match

from livepeer.runner._logs import REQUEST_ID
from livepeer.runner._server.about import SCHEMA
from livepeer.runner._server.auth import bears_one_of
from livepeer.runner._server.exchange import Exchange
from livepeer.runner._server.headers import answer_headers, request_id
from livepeer.runner._server.outcome import OUTCOME, Outcome
from livepeer.runner._server.pages import ASSETS
from livepeer.runner._server.problems import Problem, fault_of, problem_of
from livepeer.runner.errors import BodyTooLarge, PipelineNotReady, RunnerError, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from livepeer.runner._server.lifecycle import Lifecycle
    from livepeer.runner._server.traffic import Traffic

_log = logging.getLogger(__name__)

OPEN: Final = frozenset(
    {
        "/health",
        "/ready",
        SCHEMA,
        "/metrics",
        "/version",
        "/hardware",
        "/hardware/info",
        "/hardware/stats",
        "/docs",
        "/redoc",
        "/openapi.json",
        *ASSETS,
    }
)
"""The paths that tell of the runner, and do no work for anybody."""

_WORK: Final = re.compile(r"/predict|/stream/.*|/live-video-to-video", re.DOTALL)
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_DIGITS: Final = 18
_POLICY_VIOLATION: Final = 1008


class Guard:
    """ASGI middleware in front of the routes that do work, the author's own among them.

    What no route serves passes, unless another kind of runner serves it: it is nobody's work, and a
    401 for it would be one too many.

    Args:
        app: What answers.
        lifecycle: Whether work is taken, and by which token.
        traffic: Where requests are counted.
        max_body_bytes: The largest body.
        version: Of the runner, as `/version` answers it.
        token: The operator's own, beside the one of a registration.
        calls: What answers a POST, by its path, without a router in between.
        mark: Is told the name of each request that is worked on, within its context.
    """

    def __init__(
        self,
        app: ASGIApp,
        lifecycle: Lifecycle,
        traffic: Traffic,
        max_body_bytes: int,
        version: str,
        token: str | None = None,
        calls: Mapping[str, ASGIApp] | None = None,
        mark: Callable[[str], None] | None = None,
    ) -> None:
        self._app = app
        self._lifecycle = lifecycle
        self._traffic = traffic
        self._max_body_bytes = max_body_bytes
        self._version = version
        self._token = token
        self._calls = calls or {}
        self._mark = mark

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse with 401, 503 or 413, or pass on."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket" and self._fault(_Asked(scope)) is not None:
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            await self._app(scope, receive, send)

    def is_call(self, scope: Scope) -> bool:
        """Whether it answers a request without the application that it stands in front of."""
        return (
            scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._calls
        )

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(send, request_id(scope), self._version)
        if _is_open(scope["method"], _path(scope)):
            await self._app(scope, receive, exchange.send)
            return
        asked = _Asked(scope)
        fault = self._fault(asked)
        if fault is not None and _asks_for_work(scope):
            await self._refuse(fault, scope, receive, send)
            return
        if asked.length is None:
            receive = _limited(receive, self._max_body_bytes)
        await self._work(scope, receive, exchange)

    async def _work(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        outcome = Outcome()
        OUTCOME.set(outcome)
        name = request_id(scope)
        REQUEST_ID.set(name)
        if self._mark is not None:
            self._mark(name)
        began = time.monotonic()
        self._traffic.begin()
        try:
            await self._answer(scope, receive, exchange)
        except asyncio.CancelledError:
            # The server ends, and the time to finish is over.
            if not exchange.status:
                cut = PipelineNotReady("the runner ended before the call did")
                await problem_of(cut).answer(scope)(scope, receive, exchange.send)
            raise
        finally:
            seconds = time.monotonic() - began
            self._traffic.end(self._route(scope), exchange.status, seconds, outcome)
            if _log.isEnabledFor(logging.DEBUG):
                asked = f"{scope['method']} {scope['path']!r}"
                _log.debug("%s: %d in %.1f ms", asked, exchange.status, seconds * 1000)

    async def _answer(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        call = self._calls.get(scope["path"]) if self.is_call(scope) else None
        try:
            await (call or self._app)(scope, receive, exchange.send)
        except Exception as error:  # noqa: BLE001 - the edge of HTTP: nobody is further out
            problem = error if isinstance(error, Problem) else fault_of(error)
            if not exchange.status:
                await problem.answer(scope)(scope, receive, exchange.send)

    async def _refuse(self, fault: RunnerError, scope: Scope, receive: Receive, send: Send) -> None:
        problem = problem_of(fault)
        self._traffic.refused(self._route(scope), problem.status_code)
        answer = problem.answer(scope)
        # Not by way of the exchange: this 401 is meant.
        for key, value in self._named(scope, problem):
            answer.headers[key] = value
        await answer(scope, receive, send)

    def _named(self, scope: Scope, problem: Problem) -> list[tuple[str, str]]:
        pairs = answer_headers(request_id(scope), self._version, problem.retry_after_s)
        return [(key.decode(), value.decode()) for key, value in pairs]

    def _route(self, scope: Scope) -> str:
        """Which route of the application it is, of which there are not many, unlike paths."""
        if scope["path"] in self._calls:
            path: str = scope["path"]
            return path
        route: object = getattr(scope.get("route"), "path", None)
        return route if isinstance(route, str) else "other"

    def _fault(self, asked: _Asked) -> RunnerError | None:
        tokens = [token for token in (self._lifecycle.required_token, self._token) if token]
        if tokens and not bears_one_of(asked.authorization, tokens):
            return Unauthorized("the bearer token is missing or not the registered one")
        refusal = self._lifecycle.refusal
        if refusal is not None:
            return PipelineNotReady(refusal)
        if (asked.length or 0) > self._max_body_bytes:
            return _too_large(self._max_body_bytes)
        return None


class _Asked:
    """What the headers of a request say that matters here, read in one go."""

    __slots__ = ("authorization", "length")

    def __init__(self, scope: Scope) -> None:
        self.authorization = ""
        self.length: int | None = None
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        for key, value in headers:
            if key == b"authorization":
                self.authorization = value.decode("latin-1")
            elif key == b"content-length" and value.isdigit():
                self.length = int(value.lstrip(b"0")[:_MAX_DIGITS] or 0)


def _is_open(method: str, path: str) -> bool:
    return path in OPEN and (method in _READING or (method == "POST" and path == SCHEMA))


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    # Where the application is mounted in another one.
    return path.removeprefix(scope.get("root_path", ""))


def _asks_for_work(scope: Scope) -> bool:
    if scope["method"] == "POST" and _WORK.fullmatch(_path(scope)):
        return True
    app: Starlette = scope["app"]
    return any(route.matches(scope)[0] is Match.FULL for route in app.router.routes)


def _limited(receive: Receive, limit: int) -> Receive:
    """Count a body that does not say its length."""
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise problem_of(_too_large(limit))
        return message

    return counted


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit} bytes (setting LIVEPEER_MAX_BODY_BYTES)")
