"""One model process as the front has it: the calls that run in it, and how it ends."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from typing import TYPE_CHECKING, Final

from livepeer.runner._isolation.life import Life, fail
from livepeer.runner._isolation.messages import Failed
from livepeer.runner._isolation.process import ModelProcess
from livepeer.runner._server.answered import Answered
from livepeer.runner._server.pool.faults import from_fault
from livepeer.runner._server.pool.messages import (
    CODEC,
    Ask,
    Cancel,
    End,
    Health,
    Hello,
    Items,
    Message,
    More,
    Progress,
    Ready,
    max_message_bytes,
)
from livepeer.runner.errors import AtCapacity, StageAway

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from livepeer.runner._context import Call

_log = logging.getLogger(__name__)

_MODULE: Final = "livepeer.runner._server.pool.worker"
_WINDOW: Final = 64


class _Job:
    """A call that runs in the process.

    Attributes:
        items: What has come of it and was not given on.
        arrived: Set when there are more, or when it has ended.
        end: Its answer.
    """

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self.number = number
        self.since = time.monotonic()
        self.items: list[bytes] = []
        self.arrived = asyncio.Event()
        self.end: asyncio.Future[Answered | None] = loop.create_future()
        self.end.add_done_callback(lambda _: self.arrived.set())


class Link(Life[None]):
    """One life of one model. Make it on the network's loop.

    Args:
        hello: What the process is told first.
        environment: Variables for it.
        limit_s: How long a call may run before the process counts as hanging; None for ever.
        max_body_bytes: Largest body of a request.
        progress: Called with what `setup()` tells of itself.
        changed: Called when it can take other calls than before.

    Attributes:
        wrong: What `healthcheck()` says; None when it is well.
    """

    def __init__(
        self,
        hello: Hello,
        environment: Mapping[str, str],
        *,
        limit_s: float | None,
        max_body_bytes: int,
        progress: Callable[[str, float | None], None],
        changed: Callable[[], None],
    ) -> None:
        super().__init__()
        self.wrong: str | None = None
        self._limit_s = limit_s
        self._progress = progress
        self._changed = changed
        self._numbers = itertools.count()
        self._jobs: dict[int, _Job] = {}
        self._process = ModelProcess(
            _MODULE,
            CODEC,
            self._take,
            self._lose,
            self._gone,
            environment=environment,
            max_message_bytes=max_message_bytes(max_body_bytes),
        )
        self._process.channel.send(hello)

    @property
    def busy(self) -> int:
        """How many calls run in it, those that nobody waits for any more among them."""
        return len(self._jobs)

    @property
    def hang(self) -> str | None:
        """Why the process counts as hanging; None when it does not."""
        if self._limit_s is None or not self._jobs:
            return None
        oldest = min(job.since for job in self._jobs.values())
        if time.monotonic() - oldest <= self._limit_s:
            return None
        return f"a call has not ended after {self._limit_s:g} s"

    def send(self, message: Message) -> None:
        """Tell the process something that needs no answer."""
        self._process.channel.send(message)

    async def call(self, endpoint: int, body: bytes, content_type: str, call: Call) -> Answered:
        """As `Caller.call`."""
        job = self._begin(endpoint, body, content_type, call, 0)
        try:
            # Not the future itself, which would be cancelled with us and not wait for the end.
            await asyncio.wait((job.end,))
        except asyncio.CancelledError:
            await self._give_up(job)
            raise
        answer = job.end.result()
        if answer is None:
            raise StageAway("the model process has given the call up")
        return answer

    async def stream(
        self, endpoint: int, body: bytes, content_type: str, call: Call
    ) -> AsyncGenerator[list[bytes], None]:
        """As `Caller.stream`."""
        job = self._begin(endpoint, body, content_type, call, _WINDOW)
        taken = 0
        try:
            while not (job.end.done() and not job.items):
                await job.arrived.wait()
                job.arrived.clear()
                items, job.items = job.items, []
                if items:
                    yield items
                    taken += len(items)
                if taken >= _WINDOW // 2:
                    self.send(More(job.number, taken))
                    taken = 0
            job.end.result()
        finally:
            # Whoever leaves early waits for the author's generator to be closed.
            if not job.end.done():
                await self._give_up(job)

    def _begin(
        self, endpoint: int, body: bytes, content_type: str, call: Call, window: int
    ) -> _Job:
        job = _Job(next(self._numbers), self._loop)
        message = Ask(job.number, endpoint, body, content_type, call.request_id, window)
        self._jobs[job.number] = job
        try:
            sent = not self.lost and self._process.channel.send(message)
        except BaseException:
            del self._jobs[job.number]
            raise
        if not sent:
            del self._jobs[job.number]
            if self.lost:
                raise StageAway(self._reason or "the model process is gone")
            raise AtCapacity("busy: the bodies of other calls are still on their way to the model")
        return job

    async def _give_up(self, job: _Job) -> None:
        self.send(Cancel(job.number))
        await asyncio.wait((job.end,))
        if (error := job.end.exception()) is not None:
            _log.warning("a call that nobody waits for any more ended badly: %s", error)

    def _take(self, message: Message) -> None:
        """A message, on the thread that receives."""
        match message:
            case Failed():
                self._refuse(message)
            case Ready() | Progress() | Health() | Items() | End():
                self._on_loop(self._settle, message)
            case _:
                raise TypeError(f"it sent a {type(message).__name__}")

    def _settle(self, message: Ready | Progress | Health | Items | End) -> None:
        match message:
            case Ready():
                if not self.opened.done():
                    self.opened.set_result(None)
            case Progress(text, fraction):
                self._progress(text, fraction)
            case Health(wrong):
                self.wrong = wrong
                self._changed()
            case Items(number, items):
                if (job := self._jobs.get(number)) is not None:
                    job.items.extend(items)
                    job.arrived.set()
            case End():
                self._settle_end(message)

    def _settle_end(self, end: End) -> None:
        job = self._jobs.pop(end.call, None)
        if job is not None and end.fault is not None:
            fail(job.end, from_fault(end.fault))
        elif job is not None:
            job.end.set_result(None if end.body is None else Answered(end.body, end.media_type))

    def _abandon(self, reason: str) -> None:
        for job in self._jobs.values():
            fail(job.end, StageAway(reason))
        self._jobs.clear()
        self._changed()
