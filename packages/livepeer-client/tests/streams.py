"""What tests of streams share: quick settings, waiting for a state, orchestrators to be killed."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from livepeer.client import StreamSettings
from livepeer.client.testing import RunnerReply

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncGenerator, Callable

    from livepeer.client.testing import RunnerRequest

LIMIT_S = 20.0
QUICK = StreamSettings(keep_alive_s=0.05, probe_s=0.05, away_s=0.4, settle_s=0.1)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - many things are waited for
            await asyncio.sleep(0.01)


class SlowStart:
    """A runner that does not come to the end of a start."""

    def __init__(self) -> None:
        self.started, self.stopped = asyncio.Event(), asyncio.Event()

    async def __call__(self, request: RunnerRequest) -> RunnerReply:
        if request.path == "/stream/stop":
            self.stopped.set()
        else:
            self.started.set()
            await asyncio.sleep(30)
        return RunnerReply.json({})


class Process:
    """An orchestrator that can be killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.url = ""

    async def listen(self) -> None:
        """Wait until it listens."""
        assert self._process.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            self.url = (await self._process.stdout.readline()).decode().strip()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self._process.pid, number)

    async def end(self) -> None:
        """End it, whatever it does."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def two_processes() -> AsyncGenerator[tuple[Process, Process]]:
    program = Path(__file__).with_name("stream_node.py")

    async def begin() -> Process:
        pipe = asyncio.subprocess.PIPE
        return Process(
            await asyncio.create_subprocess_exec(sys.executable, str(program), stdout=pipe)
        )

    one, two = await begin(), await begin()
    try:
        await asyncio.gather(one.listen(), two.listen())
        yield one, two
    finally:
        await asyncio.gather(one.end(), two.end())
