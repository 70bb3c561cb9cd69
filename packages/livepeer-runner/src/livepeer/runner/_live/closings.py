"""What is closed when a session ends, and goes on being closed when its time is over."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from livepeer.trickle.errors import TrickleError

if TYPE_CHECKING:
    from collections.abc import Coroutine

_log = logging.getLogger(__name__)

_ATTEMPTS = 3


class Closings:
    """Holds what could not be closed in time: one for all sessions of a runner.

    Args:
        beyond_s: How much longer than it should each of them may take.
    """

    def __init__(self, beyond_s: float) -> None:
        self._beyond_s = beyond_s
        self._held: set[asyncio.Task[None]] = set()

    async def run(self, what: str, *jobs: Coroutine[None, None, None], timeout_s: float) -> None:
        """Close things side by side; what they raise is logged.

        Returns when all are done, or after `timeout_s`; the rest goes on in the background.
        """
        timeout_s = max(timeout_s, 0.0)
        tasks = [
            asyncio.create_task(self._bounded(what, job, timeout_s), name=f"close {what}")
            for job in jobs
        ]
        for task in tasks:
            self._held.add(task)
            task.add_done_callback(self._held.discard)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_s)
            if late:
                _log.warning("%s did not end within %.1f s", what, timeout_s)

    async def close(self) -> None:
        """End what is left, at once."""
        for _ in range(_ATTEMPTS):
            # More than once, because what is cancelled may have an end that waits as well.
            for task in self._held:
                task.cancel()
            if self._held:
                await asyncio.wait(tuple(self._held), timeout=self._beyond_s / _ATTEMPTS)

    async def _bounded(self, what: str, job: Coroutine[None, None, None], timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s + self._beyond_s):
                await job
        except TimeoutError:
            _log.error("%s did not end; it is given up", what)
        except TrickleError as error:
            _log.debug("%s: %s", what, error)
        except Exception as error:  # noqa: BLE001 - a supervisor: the others must be closed, too
            _log.error("%s failed to end", what, exc_info=error)
