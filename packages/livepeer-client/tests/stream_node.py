"""An orchestrator in a process of its own, to be killed: prints its URL, echoes media and beats."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

from livepeer.client.testing import FakeCapability, RunnerReply, fake_orchestrator
from livepeer.trickle import JSONPublisher, TricklePublisher, TrickleSubscriber
from livepeer.trickle.errors import TrickleError

if TYPE_CHECKING:
    from livepeer.client.testing import RunnerRequest

BEAT_S = 0.1


class Echo:
    """A runner that gives back what it gets, and reports its parameters with each beat."""

    def __init__(self) -> None:
        self.params: dict[str, object] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, request: RunnerRequest) -> RunnerReply:
        body = request.json()
        match request.path:
            case "/stream/start":
                params = body.get("params")
                self.params = dict(params) if isinstance(params, dict) else {}
                self._run(self._beat(str(body["events_url"])))
                if "subscribe_url" in body:
                    self._run(self._echo(str(body["subscribe_url"]), str(body["publish_url"])))
            case "/stream/params":
                self.params |= body
            case _:
                pass
        return RunnerReply.json({})

    def _run(self, coroutine: object) -> None:
        self._tasks.add(asyncio.ensure_future(coroutine))  # type: ignore[call-overload]

    async def _beat(self, url: str) -> None:
        async with JSONPublisher(url) as events:
            while True:
                await events.publish({"type": "heartbeat", "params": json.dumps(self.params)})
                await asyncio.sleep(BEAT_S)

    async def _echo(self, source: str, target: str) -> None:
        async with TrickleSubscriber(source, start=0) as taken, TricklePublisher(target) as given:
            async for segment in taken:
                try:
                    await given.write_segment(await segment.read(1 << 20))
                except TrickleError:
                    return


async def main() -> None:
    async with fake_orchestrator({"echo": FakeCapability(Echo())}, verify=False) as node:
        sys.stdout.write(f"{node.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
