"""A capability that gives back what it gets, as it comes, and reports as our runner does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from livepeer.client.testing import RunnerReply
from livepeer.trickle import JSONPublisher, TricklePublisher, TrickleSubscriber
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import TrickleError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, Self

    from livepeer.client.testing import RunnerRequest

LIMIT_S = 20.0


class Echo:
    """The runner. An async context manager that ends what still runs."""

    def __init__(self) -> None:
        self.starts: list[dict[str, Any]] = []
        self.segments = 0
        # Taken before each segment is read, where a test wants to say when.
        self.turns: asyncio.Semaphore | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, request: RunnerRequest) -> RunnerReply:
        if request.path == "/stream/start":
            self.starts.append(request.json())
            self._run(self._echo(self.starts[-1]))
        return RunnerReply.json({})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_and_wait(*self._tasks)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(coroutine))

    async def _echo(self, urls: dict[str, Any]) -> None:
        try:
            async with (
                JSONPublisher(urls["events_url"]) as events,
                TrickleSubscriber(urls["subscribe_url"], start=0) as taken,
                TricklePublisher(urls["publish_url"]) as given,
            ):
                count = 0
                async for segment in taken:
                    if self.turns is not None:
                        await self.turns.acquire()
                    await events.publish({"type": "stats", "last_segment_in": segment.seq})
                    async with given.open_segment() as copy:
                        async for chunk in segment:
                            await copy.write(chunk)
                    count += 1
                    self.segments += 1
                await events.publish({"type": "end_of_stream", "segments": count})
                await asyncio.Event().wait()
        except TrickleError:
            return  # the orchestrator is gone
