"""The work of `livepeer trickle sub`."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from livepeer.trickle._http import trickle_session
from livepeer.trickle.errors import ChannelUnreachable, SegmentTruncated
from livepeer.trickle.events import Ended
from livepeer.trickle.subscriber import TrickleSubscriber

from ._ask import ask_edge
from ._display import Display, count
from ._pipes import Output, OutputClosed
from ._run import Incomplete

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from livepeer.trickle._reader import SegmentReader
    from livepeer.trickle.events import TrickleEvent

_log = logging.getLogger(__name__)

_POLL_S: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Subscribing:
    """What was asked for; the options of the command."""

    file: Path | None
    start: int
    max_segments: int | None
    lines: bool
    wait_s: float
    retry_s: float
    verify_tls: bool


async def subscribe(url: str, options: Subscribing) -> None:
    """Write out what the channel carries, until it ends or nobody wants more.

    Raises:
        TrickleError: The channel failed, or something was missed.
        OSError: The output cannot be written.
    """
    # The bytes on a terminal are what is to be seen there.
    shown = options.file is None and sys.__stdout__ is not None and sys.__stdout__.isatty()
    async with trickle_session(verify_tls=options.verify_tls) as session:
        if options.wait_s:
            await _wait_for(session, url, options.wait_s)
        with Output(options.file) as output, Display("receiving", wanted=not shown) as display:
            job = _Job(url, options, session, output, display)
            try:
                await job.run()
            except OutputClosed:
                # Whoever read it has enough.
                return
            finally:
                await job.subscriber.aclose()
        display.say(job.summary())
    job.check()


async def _wait_for(session: aiohttp.ClientSession, url: str, wait_s: float) -> None:
    """Wait for the channel, and for its server; what is missing at last is for others to say."""
    over_at = time.monotonic() + wait_s
    while time.monotonic() < over_at:
        try:
            if await ask_edge(session, url) is not None:
                return
        except ChannelUnreachable:
            pass
        await asyncio.sleep(_POLL_S)


class _Job:
    """One run of a subscriber into an output."""

    def __init__(
        self,
        url: str,
        options: Subscribing,
        session: aiohttp.ClientSession,
        output: Output,
        display: Display,
    ) -> None:
        self.subscriber = TrickleSubscriber(
            url,
            start=options.start,
            session=session,
            retry_s=options.retry_s,
            on_event=self._on_event,
        )
        self._options = options
        self._output = output
        self._display = display
        self._cut = 0
        self._forgotten = False

    async def run(self) -> None:
        """Write it all."""
        segments = 0
        async for segment in self.subscriber:
            try:
                await self._copy(segment)
            except SegmentTruncated as error:
                self._cut += 1
                _log.warning("%s", error)
            segments += 1
            if segments == self._options.max_segments:
                break
        # Also where no byte came.
        await self._output.open()

    def summary(self) -> str:
        """What it came to, for who watches."""
        stats = self.subscriber.stats
        return f"received {count(stats.bytes, 'byte')} in {count(stats.segments, 'segment')}"

    def check(self) -> None:
        """Raise `Incomplete` unless everything came through."""
        missed = self.subscriber.stats.missed
        faults = [
            *([f"{count(missed, 'segment')} missed"] if missed else ()),
            *([f"{count(self._cut, 'segment')} cut short"] if self._cut else ()),
            *(
                ["the channel was gone before its end was seen, and may have had more"]
                if self._forgotten
                else ()
            ),
        ]
        if faults:
            raise Incomplete(", ".join(faults), url=self.subscriber.url)

    async def _copy(self, segment: SegmentReader) -> None:
        last = b""
        async for chunk in segment:
            await self._output.write(chunk)
            self._display.advance(len(chunk))
            last = chunk
        if self._options.lines and last and not last.endswith(b"\n"):
            await self._output.write(b"\n")

    def _on_event(self, event: TrickleEvent) -> None:
        if isinstance(event, Ended):
            self._forgotten = event.reason == "not found"
