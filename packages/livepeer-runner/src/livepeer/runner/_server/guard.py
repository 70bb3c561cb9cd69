"""What every request but the open ones must pass: the token, readiness, the size of its body."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from livepeer.runner._server.lifecycle import Lifecycle

_OPEN = frozenset(
    {
        "/health",
        "/metrics",
        "/version",
        "/hardware/info",
        "/hardware/stats",
        "/docs",
        "/docs/oauth2-redirect",
        "/redoc",
        "/openapi.json",
    }
)


class Guard:
    """ASGI middleware in front of the author's routes.

    A wrong token is the one case of a 401: it tells the orchestrator to drop the capability, which
    is then registered with another token than ours.
    """

    def __init__(
        self, app: ASGIApp, lifecycle: Lifecycle, max_body_bytes: int, token: str | None = None
    ) -> None:
        self._token = token
        self._app = app
        self._lifecycle = lifecycle
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse with 401, 503 or 413, or pass on."""
        if scope["type"] != "http" or scope["path"] in _OPEN:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refuse(headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        if "content-length" not in headers:
            receive = _limited(receive, self._max_body_bytes)
        await self._app(scope, receive, send)

    def _refuse(self, headers: Headers) -> JSONResponse | None:
        given = headers.get("authorization", "")
        tokens = [token for token in (self._lifecycle.required_token, self._token) if token]
        if tokens and not any(_bears(given, token) for token in tokens):
            detail = "the bearer token is missing or not the registered one"
            return _problem(401, detail, {"WWW-Authenticate": "Bearer"})
        if not self._lifecycle.ready:
            state = self._lifecycle.state.value
            return _problem(503, f"the pipeline is not ready ({state})", {"Retry-After": "1"})
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self._max_body_bytes:
            return _problem(413, _too_large(self._max_body_bytes))
        return None


def _bears(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    return same and scheme.lower() == "bearer"


def _limited(receive: Receive, limit: int) -> Receive:
    """Count a body that does not say its length."""
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise HTTPException(413, _too_large(limit))
        return message

    return counted


def _too_large(limit: int) -> str:
    return f"the body is larger than {limit} bytes (setting LIVEPEER_MAX_BODY_BYTES)"


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)
