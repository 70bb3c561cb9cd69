"""The other side of a loop: `python -m _live.peer LOOPS`.

A server, a publisher at the clip's own pace, and the reader of what comes back. It says where the
server is, begins at a line on standard input, and says at the end how late each picture was.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
import time

from _face.roles import say
from livepeer.trickle import (
    SegmentWriter,
    TricklePublisher,
    TrickleServer,
    TrickleSubscriber,
)
from livepeer.trickle.media import AccessUnit, BytePipe, MediaReader, Segmenter

from .clip import TICKS, units

AFTER_S = 1.0
"""How long the channel stays open behind its last picture."""


class Peer:
    """Sends the clip and takes the time until each picture is back."""

    def __init__(self, base: str, loops: int) -> None:
        self._base = base
        self._loops = loops
        self._sent: dict[int, float] = {}
        self._delays: list[float] = []

    async def run(self) -> list[float]:
        """The delays of all pictures in milliseconds."""
        receiving = asyncio.create_task(self._receive())
        async with TricklePublisher(f"{self._base}/in") as publisher:
            await self._send(publisher)
            await asyncio.sleep(AFTER_S)
        await receiving
        return self._delays

    async def _send(self, publisher: TricklePublisher) -> None:
        segmenter = Segmenter({"video": "h264"})
        segment: SegmentWriter | None = None
        begin, first = time.monotonic(), None
        for unit in units(self._loops):
            first = unit.dts if first is None else first
            due = begin + (unit.dts - first) / TICKS
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            piece = segmenter.add(unit)
            if segment is None or piece.starts:
                if segment is not None:
                    await segment.close()
                segment = await publisher.open_segment()
            self._sent[unit.pts] = time.monotonic()
            await segment.write(piece.data)
        if segment is not None:
            await segment.close()

    async def _receive(self) -> None:
        pipe = BytePipe()
        thread = threading.Thread(target=self._measure, args=(pipe,))
        thread.start()
        try:
            async with TrickleSubscriber(f"{self._base}/out", start=0) as subscriber:
                async for segment in subscriber:
                    async for chunk in segment:
                        await pipe.write(chunk)
        finally:
            pipe.close()
            await asyncio.to_thread(thread.join)

    def _measure(self, pipe: BytePipe) -> None:
        for item in MediaReader(pipe):
            if isinstance(item, AccessUnit) and item.pts in self._sent:
                self._delays.append((time.monotonic() - self._sent.pop(item.pts)) * 1000)


async def serve(loops: int) -> None:
    """Serve one loop."""
    server = TrickleServer()
    server.create_channel("in")
    server.create_channel("out")
    async with server.listening() as base:
        say({"url": base})
        await asyncio.to_thread(sys.stdin.readline)
        say({"delays": await Peer(base, loops).run()})


def main() -> None:
    """Serve as many rounds of the clip as were asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("loops", type=int)
    asyncio.run(serve(parser.parse_args().loops))


if __name__ == "__main__":
    main()
