"""`livepeer-gateway` 1.0.0."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from . import publish_answered

if TYPE_CHECKING:
    from _trickle.load import Load

# Only its own environment has it: to everything that checks this module it is not there.
TricklePublisher = import_module("livepeer_gateway.trickle_publisher").TricklePublisher
TrickleSubscriber = import_module("livepeer_gateway.trickle_subscriber").TrickleSubscriber


async def publish(load: Load) -> None:
    """Publish the segments."""
    await publish_answered(TricklePublisher, load)


async def subscribe(load: Load) -> None:
    """Read the segments as their bytes arrive."""
    async with TrickleSubscriber(load.url, start_seq=0) as subscriber, load.measured():
        for seq in range(load.plan.segments):
            segment = await subscriber.next()
            reader = segment.make_reader()
            while chunk := await reader.read():
                load.take(chunk)
            await segment.close()
            load.done(seq + 1)
