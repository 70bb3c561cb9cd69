"""Who may do what: the server's `authorize` hook and its limits, applied before a handler runs."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

from ._answers import end_exchange, error
from .errors import Refused

if TYPE_CHECKING:
    from aiohttp import web

    from .stats import ServerStats

Operation: TypeAlias = Literal["create", "publish", "subscribe", "delete", "delete_segment", "list"]
Authorize: TypeAlias = Callable[[Operation, str, Mapping[str, str]], bool | Awaitable[bool]]
Handler: TypeAlias = "Callable[[web.Request], Awaitable[web.StreamResponse]]"


class Gatekeeper:
    """Lets requests through to their handlers, or answers them itself.

    Args:
        stats: Counts of the server.
        authorize: Asked before each operation; None lets everybody do everything.
        max_publishers: With so many open POSTs another is answered 503.
        max_subscribers: With so many open GETs another is answered 503.
    """

    def __init__(
        self,
        stats: ServerStats,
        authorize: Authorize | None,
        *,
        max_publishers: int,
        max_subscribers: int,
    ) -> None:
        self._stats = stats
        self._authorize = authorize
        self._max_publishers = max_publishers
        self._max_subscribers = max_subscribers

    def guard(self, operation: Operation, handler: Handler) -> Handler:
        """The handler, behind the hook and the limits."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            refusal = self._over_limit(operation)
            if refusal is None and self._authorize is not None:
                refusal = await self._refusal(self._authorize, operation, request)
                # It may have waited, and others come in meanwhile.
                refusal = refusal or self._over_limit(operation)
            if refusal is None:
                return await handler(request)
            self._stats.refused += 1
            return await refuse(request, refusal, operation)

        return guarded

    def _over_limit(self, operation: Operation) -> web.Response | None:
        stats = self._stats
        if operation == "publish" and stats.publishers >= self._max_publishers:
            return error(503, f"This server takes no more than {self._max_publishers} publishers")
        if operation == "subscribe" and stats.subscribers >= self._max_subscribers:
            return error(503, f"This server takes no more than {self._max_subscribers} subscribers")
        return None

    async def _refusal(
        self, authorize: Authorize, operation: Operation, request: web.Request
    ) -> web.Response | None:
        try:
            verdict = authorize(operation, request.match_info.get("name", ""), request.headers)
            allowed = await verdict if inspect.isawaitable(verdict) else verdict
        except Refused as refused:
            return error(refused.refusal, str(refused))
        return None if allowed else error(403, "Forbidden")


async def refuse(
    request: web.Request, refusal: web.Response, operation: Operation
) -> web.StreamResponse:
    """Give a refusal; a publisher's body, which may never come, is not waited for."""
    return await end_exchange(request, refusal) if operation == "publish" else refusal
