"""The requests that are worked on: how many there are, and what became of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from livepeer.runner.errors import OutOfMemory

if TYPE_CHECKING:
    from livepeer.runner._batch_metrics import BatchMetrics
    from livepeer.runner._server.memory import MemoryWatch
    from livepeer.runner._server.outcome import Outcome

CLIENT_LEFT: Final = 499
"""In the place of a status that nobody was there to get; never sent."""


class Traffic:
    """Counts requests as they begin and end.

    Args:
        metrics: Where ended requests are counted; None for a live runner, whose sessions are.
        memory: What is told of calls that a GPU's memory did not suffice for.
    """

    def __init__(
        self, metrics: BatchMetrics | None = None, memory: MemoryWatch | None = None
    ) -> None:
        self._metrics = metrics
        self._memory = memory
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.in_flight = 0
        """How many are worked on now."""

    def begin(self) -> None:
        """One begins to be worked on."""
        self.in_flight += 1
        self._quiet.clear()

    def end(self, route: str, status: int, seconds: float, outcome: Outcome) -> None:
        """It has ended, whoever ended it; arguments as for `BatchMetrics.ended`."""
        self.in_flight -= 1
        if not self.in_flight:
            self._quiet.set()
        if self._metrics is not None:
            self._metrics.ended(route, status or CLIENT_LEFT, seconds)
        if outcome.problem == OutOfMemory.__name__:
            self._ran_out()
        elif self._memory is not None and outcome.problem is None and 200 <= status < 300:
            self._memory.sufficed()

    def refused(self, route: str, status: int) -> None:
        """One was refused before any work."""
        if self._metrics is not None:
            self._metrics.refused(route, status)

    async def quiet(self, timeout_s: float) -> bool:
        """Wait until none is worked on; False when the time was over before."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._quiet.wait()
        except TimeoutError:
            return False
        return True

    def _ran_out(self) -> None:
        if self._memory is not None:
            self._memory.ran_out()
        if self._metrics is not None:
            self._metrics.ran_out()
