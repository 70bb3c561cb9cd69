"""How a lost stream finds another orchestrator: not too often, and not for ever."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final, TypeVar

from livepeer.client.errors import ClientError, NoOrchestrator

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .ends import Reconnect

_T = TypeVar("_T")

_MINUTE_S: Final = 60.0
_LONGEST_PAUSES: Final = 8
_NOBODY: Final[frozenset[str]] = frozenset()


class Reconnector:
    """Starts a stream again, within the limits of a `Reconnect`.

    The nodes at which it was lost are left out at first; when no other takes it they are asked as
    well, for one that was restarted is as good as new.
    """

    def __init__(self, limits: Reconnect) -> None:
        self._limits = limits
        self._lost: set[str] = set()
        self._times: deque[float] = deque(maxlen=limits.per_minute)

    async def start(self, lost_at: str, attempt: Callable[[frozenset[str]], Awaitable[_T]]) -> _T:
        """What the first attempt gives that succeeds; each is told which nodes to leave out.

        Raises:
            ClientError: The last failure, or that the stream is lost too often.
        """
        self._check()
        self._lost.add(lost_at)
        deadline = time.monotonic() + self._limits.within_s
        pause_s = self._limits.pause_s
        exclude = frozenset(self._lost)
        while True:
            try:
                async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                    started = await attempt(exclude)
            # First: some of them are a TimeoutError as well.
            except ClientError as error:
                # With nodes left out, a refusal is not the last word.
                if not exclude and not error.retryable:
                    raise
                if time.monotonic() + pause_s >= deadline:
                    raise
            except TimeoutError:
                raise NoOrchestrator(
                    f"no orchestrator took the stream within {self._limits.within_s:g} s"
                ) from None
            else:
                self._times.append(time.monotonic())
                return started
            exclude = _NOBODY
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._limits.pause_s * _LONGEST_PAUSES)

    def _check(self) -> None:
        full = len(self._times) == self._limits.per_minute
        if full and time.monotonic() - self._times[0] < _MINUTE_S:
            raise NoOrchestrator(
                f"the stream was lost more than {self._limits.per_minute} times within a minute"
            )
