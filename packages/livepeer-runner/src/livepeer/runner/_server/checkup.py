"""The author's `healthcheck()`, asked at an interval."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from livepeer.runner._server.workers import Workers
from livepeer.runner.batch import Pipeline
from livepeer.runner.errors import describe
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer.runner.settings import Settings

_log = logging.getLogger(__name__)
_MAX_TEXT = 500


class Checkup:
    """Asks a pipeline whether it is well, and remembers the answer.

    None and True mean that it is; a text says what is wrong, and so does False, in fewer words, and
    whatever is raised. A sync hook has a thread of its own, since a long call is no illness.

    Args:
        hook: The author's, sync or async.
        interval_s: The time between two questions.
        timeout_s: How long an answer may take. A question that is not answered by then is not asked
            again before it is.
    """

    refuses = True
    """Another runner may be well, so no work is taken meanwhile."""

    def __init__(self, hook: Callable[[], object], *, interval_s: float, timeout_s: float) -> None:
        self._hook = hook
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._threads = Workers(1, name="healthcheck")
        self._asked: asyncio.Task[object] | None = None
        self._watching: asyncio.Task[None] | None = None
        self.message: str | None = None
        """What is wrong; None while nothing is."""

    async def start(self) -> None:
        """Ask for the first time, and then at the interval until it is closed."""
        await self.look()
        self._watching = asyncio.create_task(self._watch(), name="runner-healthcheck")

    async def look(self) -> None:
        """Ask once; `message` says what came of it."""
        if self._asked is None:
            self._asked = asyncio.create_task(
                self._threads.hook(self._hook), name="runner-healthcheck-call"
            )
        done, _ = await asyncio.wait({self._asked}, timeout=self._timeout_s)
        if done:
            message = _judge(self._asked)
            self._asked = None
        else:
            message = f"healthcheck() did not return within {self._timeout_s:g} s"
        if message != self.message:
            self._tell(message)
        self.message = message

    async def close(self) -> None:
        """Ask no more."""
        await cancel_and_wait(self._watching, self._asked)
        await self._threads.close(0)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self.look()

    def _tell(self, message: str | None) -> None:
        if message is None:
            _log.info("healthcheck() is well again")
        else:
            _log.warning("%s; no work is taken meanwhile", message)


def checkup_of(pipeline: Pipeline, settings: Settings) -> Checkup | None:
    """The checkup of a pipeline; None where it has no `healthcheck()` of its own."""
    if type(pipeline).healthcheck is Pipeline.healthcheck:
        return None
    return Checkup(
        pipeline.healthcheck,
        interval_s=settings.healthcheck_interval_s,
        timeout_s=settings.healthcheck_timeout_s,
    )


def _judge(asked: asyncio.Task[object]) -> str | None:
    if asked.cancelled():
        return "healthcheck() was cancelled"
    error = asked.exception()
    if error is not None:
        return f"healthcheck() raised {describe(error, _MAX_TEXT)}"
    found = asked.result()
    if found is None or found is True:
        return None
    return found[:_MAX_TEXT] if isinstance(found, str) and found else "healthcheck() says no"
