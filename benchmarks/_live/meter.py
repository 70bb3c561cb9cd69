"""The other side of every subject: `python -m _live.meter FOLDER`.

Each line on standard input is a job: it says that it is ready, waits for another line, sends the
job's pictures, and times what comes back. It says when the last picture of the warm-up is sent
and when the last of all is, which is when CPU time is read, and then what it measured.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from _face.roles import say
from livepeer.trickle import SegmentWriter, TricklePublisher, TrickleSubscriber
from livepeer.trickle.errors import TrickleError

from .arrivals import Arrival, Arrivals
from .clip import clip, looped
from .job import RATE, TICKS, Job
from .sender import Muxer, Own, Plain

if TYPE_CHECKING:
    from livepeer.trickle.media import AccessUnit

WINDOW = 2 * RATE
"""As fast as it goes, so many pictures may be under way: two segments, which every server holds."""
STALL_S = 0.5
"""A subject that lost pictures would hold up the window; after so long it is sent on."""
SILENCE_S = 1.5
"""When nothing came for so long after the last picture was sent, no more will."""
GRACE = 15
"""Pictures after the warm-up that do not count: the subject's memory is read then, which holds
it up."""
TAIL = 5
"""The last pictures do not count: some hold them back until the stream ends."""


@dataclass
class Meter:
    """Sends a job's pictures and times those that come back."""

    job: Job
    units: list[AccessUnit]
    sent: dict[int, float] = field(default_factory=dict[int, float])
    back: dict[int, float] = field(default_factory=dict[int, float])
    last: float = 0.0
    newest: int = -1
    warm_at: float = 0.0
    end_at: float = 0.0

    async def run(self) -> None:
        """The whole run; says what it measured."""
        self._progress = asyncio.Event()
        viewing = asyncio.create_task(self._view())
        async with TricklePublisher(self.job.incoming) as publisher:
            await self._send(publisher)
            await self._settle()
        viewing.cancel()
        await asyncio.gather(viewing, return_exceptions=True)
        say(self._found())

    def _muxer(self) -> Muxer:
        return Plain(self.job.width, self.job.height) if self.job.foreign else Own()

    async def _send(self, publisher: TricklePublisher) -> None:
        muxer, segment = self._muxer(), None
        begin = time.monotonic()
        for n, unit in enumerate(looped(self.units, self.job.pictures)):
            if self.job.fast:
                await self._room(n)
            else:
                await asyncio.sleep(max(0.0, begin + n / RATE - time.monotonic()))
            segment = await self._write(publisher, segment, muxer, unit)
            if n + 1 == self.job.warm:
                self.warm_at = time.monotonic()
                say({"warm": True})
        self.end_at = time.monotonic()
        say({"end": True})
        if segment is not None:
            await segment.close()

    async def _write(
        self,
        publisher: TricklePublisher,
        segment: SegmentWriter | None,
        muxer: Muxer,
        unit: AccessUnit,
    ) -> SegmentWriter:
        piece = muxer.add(unit)
        if segment is None or piece.starts:
            if segment is not None:
                await segment.close()
            segment = await publisher.open_segment()
        self.sent[unit.pts] = time.monotonic()
        await segment.write(piece.data)
        return segment

    async def _room(self, n: int) -> None:
        """Until few enough pictures are under way, judged by the newest that is back."""
        while n - self._done() > WINDOW:
            self._progress.clear()
            try:
                async with asyncio.timeout(STALL_S):
                    await self._progress.wait()
            except TimeoutError:
                return

    def _done(self) -> int:
        return 0 if self.newest < 0 else (self.newest - TICKS) * RATE // TICKS

    async def _settle(self) -> None:
        while len(self.back) < len(self.sent):
            await asyncio.sleep(0.05)
            if time.monotonic() - max(self.last, self.end_at) > SILENCE_S:
                return

    async def _view(self) -> None:
        arrivals = Arrivals()
        try:
            async with TrickleSubscriber(self.job.outgoing, start=0) as subscriber:
                async for segment in subscriber:
                    async for chunk in segment:
                        self._take(arrivals.feed(chunk, time.monotonic()))
        except TrickleError as error:
            print(f"the stream that came back failed: {error}", file=sys.stderr)

    def _take(self, arrivals: list[Arrival]) -> None:
        for arrival in arrivals:
            if arrival.pts in self.sent:
                self.back.setdefault(arrival.pts, arrival.at)
                self.newest = max(self.newest, arrival.pts)
        if arrivals:
            self.last = time.monotonic()
            self._progress.set()

    def _found(self) -> dict[str, object]:
        order = list(self.sent)
        counted = order[self.job.warm + GRACE : len(order) - TAIL]
        kept = [pts for pts in counted if pts in self.back]
        window = [at for at in self.back.values() if self.warm_at <= at < self.end_at]
        first = min(self.back.values(), default=float("inf"))
        return {
            "delays": [round((self.back[pts] - self.sent[pts]) * 1000, 3) for pts in kept],
            "first": (first - self.sent[order[0]]) * 1000 if self.back else -1.0,
            "lost": len(counted) - len(kept),
            "counted": len(counted),
            "early": sum(pts not in self.back for pts in order[: self.job.warm]),
            "window": len(window),
            "seconds": self.end_at - self.warm_at,
        }


async def measure(folder: Path) -> None:
    """Measure job after job."""
    say({"up": True})
    while line := await asyncio.to_thread(sys.stdin.readline):
        job = Job.parse(line)
        units = clip(folder, job.size, reordered=job.reordered)
        say({"ready": True})
        await asyncio.to_thread(sys.stdin.readline)
        await Meter(job, units).run()


def main() -> None:
    """Measure until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    asyncio.run(measure(parser.parse_args().folder))


if __name__ == "__main__":
    main()
