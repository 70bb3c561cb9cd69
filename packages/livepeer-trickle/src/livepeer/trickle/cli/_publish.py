"""The work of `livepeer trickle pub`."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from livepeer.trickle._http import trickle_session
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import (
    ChannelClosed,
    ChannelError,
    ChannelNotFound,
    ChannelRefused,
    TrickleError,
)
from livepeer.trickle.events import Ended
from livepeer.trickle.publisher import TricklePublisher

from ._ask import ask_edge
from ._cut import ByLine, BySize, Cutter
from ._display import Display, count
from ._pipes import Input
from ._run import Incomplete

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from livepeer.trickle.events import TrickleEvent


@dataclass(frozen=True, kw_only=True)
class Publishing:
    """What was asked for; the options of the command."""

    file: Path | None
    segment_bytes: int
    segment_s: float
    lines: bool
    content_type: str
    bytes_per_s: int
    lead_s: float
    linger_s: float
    keep: bool
    resume: bool
    retry_s: float
    verify_tls: bool


async def publish(url: str, options: Publishing) -> None:
    """Publish all there is.

    Raises:
        TrickleError: The channel failed, or something was lost.
        OSError: The input cannot be read.
    """
    with Input(options.file) as source:
        size = await source.open()
        async with trickle_session(verify_tls=options.verify_tls) as session:
            if not options.resume:
                await _expect_new(session, url, options.retry_s)
            with Display("publishing", size) as display:
                job = _Job(url, options, session, source, display)
                try:
                    await job.run()
                except BaseException:
                    # What ended it is what is told, not what its end ran into.
                    with suppress(TrickleError):
                        await job.close()
                    raise
                await job.close()
            display.say(job.summary())
    lost = job.publisher.stats.lost
    if lost:
        raise Incomplete(f"{count(lost, 'segment')} lost", url=url)


async def _expect_new(session: aiohttp.ClientSession, url: str, retry_s: float) -> None:
    """Refuse to overwrite what a channel has; its readers are behind that already."""
    try:
        edge = await ask_edge(session, url, retry_s=retry_s)
    except ChannelRefused:
        # Who may publish need not be allowed to read.
        return
    if edge:
        raise ChannelRefused(
            f"the channel has segments already, up to {edge - 1}: --resume goes on behind them",
            url=url,
        )


class _Job:
    """One run of a publisher from an input."""

    def __init__(
        self,
        url: str,
        options: Publishing,
        session: aiohttp.ClientSession,
        source: Input,
        display: Display,
    ) -> None:
        self.publisher = TricklePublisher(
            url,
            content_type=options.content_type,
            session=session,
            resume=options.resume,
            retry_s=options.retry_s,
            on_event=self._on_event,
        )
        self._options = options
        self._source = source
        self._display = display
        self._cutter: Cutter = (
            ByLine(self.publisher)
            if options.lines
            else BySize(self.publisher, options.segment_bytes, options.segment_s)
        )
        self._pace = _Pace(options.bytes_per_s)
        self._over = asyncio.Event()
        self._existed = False
        self._reading: asyncio.Task[bytes] | None = None
        self._watching: asyncio.Task[bool] | None = None

    async def run(self) -> None:
        """Publish to the end of the input, and stay for slow readers."""
        await self.publisher.start()
        self._watching = asyncio.create_task(self._over.wait(), name="livepeer trickle end")
        await self._rest(self._options.lead_s)
        while True:
            data = await self._read()
            if data is None:
                await self._cutter.cut()
            elif data:
                await self._write(data)
            else:
                break
        await self._cutter.finish()
        if not self._options.keep:
            self._display.say("all of it is out; readers have a moment for the rest")
            await self._rest(self._options.linger_s)

    async def close(self) -> None:
        """Give everything up, and close the channel unless it was to be kept."""
        await cancel_and_wait(self._reading, self._watching)
        await self._cutter.give_up()
        await self.publisher.close(delete=not self._options.keep)

    def summary(self) -> str:
        """What it came to, for who watches."""
        stats = self.publisher.stats
        return f"published {count(stats.bytes, 'byte')} in {count(stats.segments, 'segment')}"

    async def _read(self) -> bytes | None:
        """What came next, b"" at the end, or None when the open segment has to be ended first."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._source.read(), name="livepeer trickle read")
        assert self._watching is not None
        await asyncio.wait(
            (self._reading, self._watching),
            timeout=self._cutter.due_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if self._over.is_set():
            raise self._end()
        if not self._reading.done():
            return None
        reading, self._reading = self._reading, None
        return await reading

    def _end(self) -> ChannelError:
        if self._existed:
            return ChannelClosed("the channel was closed", url=self.publisher.url)
        return ChannelNotFound("the channel does not exist", url=self.publisher.url)

    async def _write(self, data: bytes) -> None:
        for begin in range(0, len(data), self._pace.piece_bytes):
            piece = data[begin : begin + self._pace.piece_bytes]
            await self._pace.wait(len(piece))
            await self._cutter.write(piece)
            self._display.advance(len(piece))

    async def _rest(self, seconds: float) -> None:
        """Wait, unless the channel ends meanwhile."""
        assert self._watching is not None
        await asyncio.wait((self._watching,), timeout=seconds)

    def _on_event(self, event: TrickleEvent) -> None:
        if isinstance(event, Ended):
            self._existed = event.reason == "closed"
            self._over.set()


class _Pace:
    """Holds bytes back so that no more than `bytes_per_s` go out; 0 holds nothing back."""

    _STEPS_PER_S = 20
    _LONGEST_PIECE = 64 * 1024
    _CREDIT_S = 0.02

    def __init__(self, bytes_per_s: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0
        self.piece_bytes = self._LONGEST_PIECE
        if bytes_per_s:
            self.piece_bytes = min(self._LONGEST_PIECE, max(1, bytes_per_s // self._STEPS_PER_S))

    async def wait(self, size: int) -> None:
        """Wait until `size` bytes may go out."""
        if not self._bytes_per_s:
            return
        now = time.monotonic()
        # Time that went by unused is saved up only for as long as a sleep may be too long.
        self._free_at = max(self._free_at, now - self._CREDIT_S)
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)
        self._free_at += size / self._bytes_per_s
