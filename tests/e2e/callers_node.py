"""A local network and its runners in a process of its own, which may be killed.

    python callers_node.py [hang]

Both pipelines are there for nothing and for 10 wei a second, as `words-0`, `words-10`, `gray-0` and
`gray-10`. The first line that is printed is the orchestrator's URL; then comes a word for each
thing that a runner begins. With `hang` the runners begin what they are asked to, and do not end it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator  # noqa: TC003 - read at run time
from contextlib import AsyncExitStack
from typing import Any

from livepeer.runner import LivePipeline, Pipeline, endpoint
from livepeer.runner._local.network import LocalNetwork
from livepeer.runner.frames import VideoFrame  # noqa: TC001 - read at run time
from livepeer.runner.testing import serve

HANG = "hang" in sys.argv
_never: list[asyncio.Event] = []


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def hang() -> None:
    if HANG:
        # What nobody refers to is collected, and who waits for it as well.
        _never.append(asyncio.Event())
        await _never[-1].wait()


class Words(Pipeline):
    """Gives back a word, whole or by its letters."""

    async def predict(self, word: str) -> str:
        say("predict")
        await hang()
        return word

    @endpoint
    async def letters(self, word: str, hang_at: int) -> AsyncIterator[str]:
        say("letters")
        for number, letter in enumerate(word):
            if number == hang_at:
                await hang()
            yield letter


class Gray(LivePipeline):
    """Takes the colour out of pictures."""

    async def on_stream_start(self, params: dict[str, Any]) -> None:
        say("start")
        if params.get("slow"):
            await hang()

    def process_video(self, frame: VideoFrame) -> VideoFrame:
        for plane in frame.planes[1:]:
            plane[:] = 128
        return frame


async def main() -> None:
    async with LocalNetwork(charge=True) as network, AsyncExitStack() as stack:
        for price in (0, 10):
            for kind in (Words, Gray):
                runner = serve(
                    kind(),
                    capability_name=f"{kind.__name__.lower()}-{price}",
                    capability_price=price,
                    capability_capacity=4,
                    concurrency=4,
                    orch_url=network.orchestrator_url,
                )
                await (await stack.enter_async_context(runner)).wait_registered()
        say(network.orchestrator_url)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
