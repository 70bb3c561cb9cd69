"""Read a channel: one GET per segment, the next one always asked for ahead."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from ._http import channel_url, owned_or_given
from ._reader import SegmentReader
from ._reporter import Reporter
from ._requests import Requests, number
from ._wire import CLOSED, CURRENT, LATEST, NEXT, NOT_HELD, parse_header_seq
from .aio import cancel_and_wait
from .errors import ChannelNotFound
from .stats import SubscriberStats

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from .events import TrickleEvent

_AHEAD_PAUSE_S: Final = 0.25
"""How long to wait when the server says that its edge is behind the segment we ask for."""

_JUMPS: Final = 3
"""So often in a row we follow the server to its edge at once; one that leads on is not hurried."""

_LOOKS: Final = 4
"""How often within `refresh_s` silence is looked for; a timer for each request would cost more."""


class TrickleSubscriber:
    """Reads a channel, segment by segment, until it is closed. An async iterator.

    A segment is handed out when its first byte is here. What is left unread of it when the next
    one is asked for is given up. A segment that the server no longer holds is skipped, and the
    one after it says by `gap` how many were lost.

        async with TrickleSubscriber("http://127.0.0.1:8888/clock") as subscriber:
            async for segment in subscriber:
                async for chunk in segment:
                    ...

    Args:
        url: The channel's URL, without a sequence number.
        start: Where to begin: a number, -1 for the next to be written, -2 for the current one.
        session: A session to share; by default the subscriber has its own.
        retry_s: For how long a failing server is asked again before the iteration fails.
        refresh_s: A request on which nothing came for so long (and up to a quarter more) is made
            anew, which finds a connection that died unnoticed.
        on_event: Told of each `Gap`, each `Retry` and the end; it must not block.
    """

    def __init__(
        self,
        url: str,
        *,
        start: int = CURRENT,
        session: aiohttp.ClientSession | None = None,
        retry_s: float = 10.0,
        refresh_s: float = 20.0,
        on_event: Callable[[TrickleEvent], None] | None = None,
    ) -> None:
        if start < CURRENT:
            raise ValueError(
                f"start={start}: a number from 0, -1 for the next one, -2 for the current"
            )
        self.url = url
        self._base = channel_url(url)
        self._seq = start
        self._given_session = session
        self._retry_s = retry_s
        self._refresh_s = refresh_s
        self._reporter = Reporter(url, on_event)
        self._stats = SubscriberStats()
        self._requests: Requests | None = None
        self._following: asyncio.Task[None] | None = None
        self._found: deque[SegmentReader] = deque()
        self._waiting = False
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()
        self._current: SegmentReader | None = None
        self._known = False
        self._read_one = False
        self._over = False
        self._timer: asyncio.TimerHandle | None = None
        self._stack = AsyncExitStack()

    @property
    def stats(self) -> SubscriberStats:
        """Counts at this moment."""
        return replace(self._stats)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SegmentReader:
        """The next segment.

        Raises:
            ChannelNotFound: The server never knew the channel. (One that it knew has ended.)
            ChannelRefused: The server does not let us read the channel.
            ChannelUnreachable: The server failed for longer than `retry_s`.
        """
        if self._current is not None:
            self._current.close()
        if self._over:
            raise StopAsyncIteration
        following = self._following or await self._follow_on()
        while not self._found and not following.done():
            await self._wait()
        if self._over:
            raise StopAsyncIteration
        if not self._found:
            self._following = None
            following.result()
            self._over = True
            raise StopAsyncIteration
        self._current = self._found.popleft()
        self._taken.set()
        self._stats.segments += 1
        return self._current

    async def aclose(self) -> None:
        """Stop reading and give up every connection. Idempotent."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        await cancel_and_wait(self._following)
        for reader in (*self._found, *([] if self._current is None else [self._current])):
            reader.close()
        self._found.clear()
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _wait(self) -> None:
        self._changed.clear()
        self._waiting = True
        try:
            # Not for the task: who is cancelled here may ask again, and misses nothing.
            await self._changed.wait()
        finally:
            self._waiting = False

    async def _follow_on(self) -> asyncio.Task[None]:
        if self._requests is None:
            session = await self._stack.enter_async_context(owned_or_given(self._given_session))
            self._requests = Requests(
                session, self._base, self._reporter, self._stats, self._retry_s
            )
            self._look()
        self._following = asyncio.create_task(self._follow(self._requests), name="trickle GET")
        return self._following

    async def _follow(self, requests: Requests) -> None:
        """Find segment after segment, one more than was taken, until the channel ends."""
        try:
            while (reader := await self._find(requests)) is not None:
                self._seq = reader.seq + 1
                self._found.append(reader)
                self._changed.set()
                # A reader that waits is as good as served: the next one is asked for at once,
                # because a fast publisher moves on by one window while a segment is read.
                while self._found and not self._waiting:
                    self._taken.clear()
                    await self._taken.wait()
        finally:
            self._changed.set()

    async def _find(self, requests: Requests) -> SegmentReader | None:
        """Ask until there is a segment; None when the channel has ended."""
        wanted = asked = self._seq
        behind: int | None = None
        gap = jumps = 0
        while True:
            response = await requests.answer(asked)
            if response.status == 200 and CLOSED not in response.headers:
                return self._reader(requests, response, wanted, gap)
            response.close()
            if response.status != NOT_HELD or CLOSED in response.headers:
                self._end(response.status)
                return None
            self._known = True
            latest = parse_header_seq(response.headers.get(LATEST))
            if latest is not None and latest > wanted:
                if wanted >= 0:
                    gap += self._miss(wanted, latest)
                jumps += 1
                # A publisher that is faster than our jumps is met where it will be next.
                wanted, asked = latest, latest if jumps == 1 else NEXT
                if jumps > _JUMPS:
                    await asyncio.sleep(_AHEAD_PAUSE_S)
            elif self._moved_back(latest, behind, wanted, jumps):
                assert latest is not None
                gap = self._begin_anew(latest, gap)
                wanted, asked, behind = latest, latest, None
            else:
                behind, asked = latest, wanted
                await asyncio.sleep(_AHEAD_PAUSE_S)

    def _moved_back(self, latest: int | None, behind: int | None, wanted: int, jumps: int) -> bool:
        """Whether the edge is behind where we have been, and moves."""
        if latest is None or behind is None or not (self._read_one or jumps):
            return False
        return behind < latest < wanted

    def _begin_anew(self, seq: int, gap: int) -> int:
        """The channel is published anew, and what was to be missed before is not; the gap now."""
        self._stats.missed -= gap
        self._reporter.gap(seq, 0)
        return 0

    def _reader(
        self, requests: Requests, response: aiohttp.ClientResponse, wanted: int, gap: int
    ) -> SegmentReader:
        self._known = self._read_one = True
        seq = number(response, wanted)
        if 0 <= wanted < seq:
            gap += self._miss(wanted, seq)
        elif seq < wanted:
            gap = self._begin_anew(seq, gap)
        return SegmentReader(response, seq, gap, requests, self._stats)

    def _miss(self, wanted: int, found: int) -> int:
        missed = found - wanted
        self._stats.missed += missed
        self._reporter.gap(found, missed)
        return missed

    def _end(self, status: int) -> None:
        if status == 404 and not self._known:
            raise ChannelNotFound("the channel does not exist", url=self.url, status=404)
        self._reporter.ended("not found" if status == 404 else "closed")

    def _look(self) -> None:
        """Make silent requests anew, for as long as there are any."""
        if self._over:
            return
        before = time.monotonic() - self._refresh_s
        if self._requests is not None:
            self._requests.refresh(before)
        if self._current is not None:
            self._current.refresh(before)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._refresh_s / _LOOKS, self._look)
