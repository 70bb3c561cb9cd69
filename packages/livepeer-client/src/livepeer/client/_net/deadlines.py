"""Deadlines that cost little where hardly any is ever reached."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

LOOK_S: Final = 1.0


class Deadlines:
    """As `asyncio.timeout`, for many at once: most are over long before their time.

    A timer of the loop for each is a good part of what a small call costs. Here one timer looks at
    them all, and arms those that may end before it looks again; so each ends on time all the same.

    Args:
        look_s: Seconds until it looks again.
    """

    def __init__(self, *, look_s: float = LOOK_S) -> None:
        self._look_s = look_s
        self._distant: dict[asyncio.Timeout, float] = {}
        self._look: asyncio.TimerHandle | None = None

    def timeout(self, delay_s: float | None) -> AbstractAsyncContextManager[object]:
        """What raises TimeoutError when `delay_s` have passed inside of it, None for never."""
        if delay_s is None or delay_s <= 2 * self._look_s:
            return asyncio.timeout(delay_s)
        return _Distant(self, delay_s)

    def add(self, timeout: asyncio.Timeout, delay_s: float) -> None:
        """Look after a timeout that was entered."""
        loop = asyncio.get_running_loop()
        self._distant[timeout] = loop.time() + delay_s
        if self._look is None:
            self._look = loop.call_later(self._look_s, self._arm, loop)

    def remove(self, timeout: asyncio.Timeout) -> None:
        """Look after it no more: it is about to be left."""
        self._distant.pop(timeout, None)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        near = loop.time() + 2 * self._look_s
        for timeout, when in [*self._distant.items()]:
            if when <= near:
                del self._distant[timeout]
                timeout.reschedule(when)
        self._look = loop.call_later(self._look_s, self._arm, loop) if self._distant else None


class _Distant(AbstractAsyncContextManager[object]):
    __slots__ = ("_deadlines", "_delay_s", "_timeout")

    def __init__(self, deadlines: Deadlines, delay_s: float) -> None:
        self._deadlines = deadlines
        self._delay_s = delay_s
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._deadlines.add(self._timeout, self._delay_s)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._deadlines.remove(self._timeout)
        await self._timeout.__aexit__(kind, error, trace)
