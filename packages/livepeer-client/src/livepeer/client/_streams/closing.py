"""The stop of streams when their context is left, all at once; waiting as long as is right."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from livepeer.client.errors import ClientError
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Stoppable(Protocol):
    """What a job is to who stops it."""

    async def stop(self) -> None:
        """Stop it; a stop goes on when a call is cancelled."""
        ...

    async def give_up(self) -> None:
        """Wait no longer for a stop that goes on."""
        ...


async def stop_all(jobs: Collection[Stoppable], *, within_s: float) -> None:
    """Stop jobs, all at the same time; one that cannot be stopped is logged.

    Who is cancelled meanwhile waits all the same, for nobody else would stop them.

    Args:
        jobs: What is stopped.
        within_s: Seconds for all of them; what is not stopped then is given up.

    Raises:
        Exception: What else went wrong, such as in what a job was to do when it is stopped; a
            group where there is more than one.
    """
    stops = {asyncio.create_task(job.stop()): job for job in jobs}
    if not stops:
        return
    try:
        await through(asyncio.create_task(asyncio.wait(stops, timeout=within_s)))
    finally:
        late = [job for stop, job in stops.items() if not stop.done()]
        for job in late:
            _log.warning("%r was not stopped within %g s", job, within_s)
            await job.give_up()
        await cancel_and_wait(*stops)
    faults = [fault for stop, job in stops.items() if (fault := _fault(stop, job)) is not None]
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise ExceptionGroup("streams were stopped with faults", faults)


async def through(waiting: asyncio.Task[Any]) -> None:
    """Wait for a task that ends by itself, and then be cancelled, if that was asked for.

    Raises:
        Exception: What the task raises.
    """
    cancelled: asyncio.CancelledError | None = None
    while not waiting.done():
        try:
            # Neither cancels what is waited for, nor raises what that does.
            await asyncio.wait((waiting,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    await waiting


async def unless(over: asyncio.Future[Any], work: Awaitable[T]) -> T | None:
    """What work gives; None when something else is over before, which cancels the work."""
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait((working, over), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        await cancel_and_wait(working)


def _fault(stop: asyncio.Task[None], job: Stoppable) -> Exception | None:
    error = None if stop.cancelled() else stop.exception()
    if isinstance(error, ClientError):
        _log.warning("%r was not stopped: %s", job, error)
        return None
    return error if isinstance(error, Exception) else None
