"""A publisher that waits for the runner: its pace, kept up to date by what the runner reports."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from livepeer.client.errors import ClientError
from livepeer.trickle.aio import cancel_and_wait

from ._pace import Pace

if TYPE_CHECKING:
    from livepeer.client._streams.live import StreamJob
    from livepeer.client._streams.session import StreamSession
    from livepeer.trickle.media import AccessUnit


class Patience:
    """Holds segments back until the runner has begun the one two before.

    Behind a gateway it holds nothing back: a gateway tells nothing of the runner.

    Args:
        job: The job, whose events tell how far the runner has read.
        stall_s: For how long nothing may move.
    """

    def __init__(self, job: StreamJob, stall_s: float) -> None:
        self._job = job
        self._pace = Pace(stall_s)
        self._hearing: asyncio.Task[None] | None = None

    async def begin(self, session: StreamSession | None, unit: AccessUnit | None) -> None:
        """Wait until a segment may go in, one that begins with `unit`, or has no time.

        Raises:
            StreamLost: Nothing moved for too long.
        """
        if session is None or session.urls.control is None:
            return
        if self._hearing is None:
            self._hearing = asyncio.create_task(self._hear(), name="how far the runner is")
        await self._pace.begin(session, unit)

    async def finish(self, session: StreamSession) -> None:
        """Wait until the runner reads the last segment, or its session has ended.

        Raises:
            StreamLost: Nothing moved for too long.
        """
        if self._hearing is not None:
            await self._pace.finish(session)

    async def close(self) -> None:
        """Hear no more. Idempotent."""
        if self._hearing is not None:
            await cancel_and_wait(self._hearing)

    async def _hear(self) -> None:
        try:
            async with aclosing(self._job.events()) as events:
                async for event in events:
                    if event.get("type") in ("stats", "end_of_stream"):
                        self._pace.hear(event)
        except ClientError:
            # The end of the job, which whoever writes is told of.
            return
        finally:
            self._pace.release()
