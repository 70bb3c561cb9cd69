"""This project's client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livepeer.trickle import TricklePublisher, TrickleSubscriber

if TYPE_CHECKING:
    from _trickle.load import Load


async def publish(load: Load) -> None:
    """Publish the segments; one of a single piece is written at once."""
    async with TricklePublisher(load.url) as publisher, load.measured():
        for seq in range(load.plan.segments):
            await load.turn(seq)
            if load.paced:
                async with publisher.open_segment() as segment:
                    async for frame in load.frames():
                        await segment.write(frame)
            elif load.plan.pieces == 1:
                await publisher.write_segment(load.piece)
            else:
                async with publisher.open_segment() as segment:
                    for piece in load.body():
                        await segment.write(piece)


async def subscribe(load: Load) -> None:
    """Read the segments as their bytes arrive."""
    async with TrickleSubscriber(load.url, start=0) as subscriber, load.measured():
        count = 0
        async for segment in subscriber:
            async for chunk in segment:
                load.take(chunk)
            count += 1
            load.done(count)
            if count == load.plan.segments:
                break
