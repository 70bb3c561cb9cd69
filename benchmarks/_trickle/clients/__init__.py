"""One module per client, each with `publish(load)` and `subscribe(load)`, as its users would.

Where a client does not wait for the answer to a segment by itself, `publish_answered` waits for
it: everybody has to know that the server has the bytes, and nobody may overtake himself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from _trickle.load import Load


class Segment(Protocol):
    """A peer's segment, which is written piece by piece."""

    async def write(self, data: bytes) -> None:
        """Send a piece."""
        ...


class Posting(Protocol):
    """A peer's publisher, which runs each POST by one method of its own."""

    _run_post: Callable[..., Awaitable[None]]

    async def next(self) -> AbstractAsyncContextManager[Segment]:
        """Begin a segment."""
        ...


async def publish_answered(
    publisher_class: Callable[[str, str], AbstractAsyncContextManager[Posting]], load: Load
) -> None:
    """Publish the segments of a load, each once the one before it was answered."""
    async with publisher_class(load.url, "video/MP2T") as publisher, load.measured():
        answer = _answered(publisher)
        for seq in range(load.plan.segments):
            await load.turn(seq)
            async with await publisher.next() as segment:
                if load.paced:
                    async for frame in load.frames():
                        await segment.write(frame)
                else:
                    for piece in load.body():
                        await segment.write(piece)
            await answer.wait()
            answer.clear()


def _answered(publisher: Posting) -> asyncio.Event:
    """An event that is set whenever a POST of the publisher was answered."""
    event = asyncio.Event()
    # It tells of the answer in no public way.
    run = publisher._run_post  # pyright: ignore[reportPrivateUsage]

    async def posted(*arguments: object) -> None:
        await run(*arguments)
        event.set()

    publisher._run_post = posted  # pyright: ignore[reportPrivateUsage]
    return event
