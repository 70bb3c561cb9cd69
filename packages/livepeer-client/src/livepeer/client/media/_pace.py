"""When the next segment may go in: not before the runner reads the one two before it."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from typing import TYPE_CHECKING, Final

from livepeer.client._streams.closing import unless
from livepeer.client.errors import StreamLost
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from livepeer.client._streams.session import StreamSession
    from livepeer.client._wire.encoding import JSONValue
    from livepeer.trickle.media import AccessUnit

AHEAD: Final = 2
"""How many segments the publisher may be ahead of the runner. A server holds the last four while
one is connected ahead, so that the runner finds each that it has not read."""

_REMEMBERED: Final = 64
_COUNTS: Final = ("last_segment_in", "video_in", "audio_in", "video_out", "audio_out")


class Pace:
    """What is known of how far the runner has read, in the session of the moment.

    Args:
        stall_s: For how long nothing may move.

    Attributes:
        out_pts: The latest presentation time that came out, in ticks, which tells as well.
        moved: Set when anything moved.
        released: Nobody waits any more.
    """

    def __init__(self, stall_s: float) -> None:
        self.out_pts = -1
        self.moved = asyncio.Event()
        self.released = False
        self._stall_s = stall_s
        self._session: StreamSession | None = None
        # When the last segments begin, and how many there were before them.
        self._starts: deque[int] = deque(maxlen=_REMEMBERED)
        self._begun = 0
        self._counts: object = None

    async def begin(self, session: StreamSession | None, unit: AccessUnit | None) -> None:
        """Wait until a segment may go in, one that begins with `unit`, or has no time.

        Raises:
            StreamLost: Nothing moved for too long.
        """
        if session is not self._session:
            self._session = session
            self._starts.clear()
            self._begun, self.out_pts, self._counts = 0, -1, None
        if unit is not None:
            self._starts.append(min(unit.pts, unit.dts))
        self._begun += 1
        await self._reach(self._begun - 1 - AHEAD)

    async def finish(self, session: StreamSession) -> None:
        """Wait until the runner reads the last segment, or its session has ended.

        A channel that is closed forgets what nobody read.

        Raises:
            StreamLost: Nothing moved for too long.
        """
        reading = asyncio.create_task(self._reach(self._begun - 1), name="the last segment")
        ended = asyncio.create_task(session.ended(), name="end of a session")
        try:
            await unless(ended, reading)
        finally:
            await cancel_and_wait(ended)

    def release(self) -> None:
        """Let nobody wait any more."""
        self.released = True
        self.moved.set()

    def hear(self, event: dict[str, JSONValue]) -> None:
        """Take what a runner says of its statistics, be it that of a session before."""
        counts = [self._read_to, *(event.get(name) for name in _COUNTS)]
        if counts != self._counts:
            self._counts = counts
            self.moved.set()

    async def _reach(self, segment: int) -> None:
        """Until the runner reads `segment`, or one after it."""
        while not self.released and self._reached() < segment:
            self.moved.clear()
            try:
                async with asyncio.timeout(self._stall_s):
                    await self.moved.wait()
            except TimeoutError:
                silent = "" if self._counts else ": the runner sends no statistics to wait for"
                raise StreamLost(f"nothing moved for {self._stall_s:g} s{silent}") from None

    def _reached(self) -> int:
        shown = bisect_right(self._starts, self.out_pts)
        by_output = self._begun - len(self._starts) + shown - 1 if shown else -1
        return max(self._read_to + 1, by_output)

    @property
    def _read_to(self) -> int:
        return -1 if self._session is None else self._session.read_to
