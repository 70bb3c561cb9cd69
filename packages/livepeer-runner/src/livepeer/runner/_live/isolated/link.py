"""One model process as its sessions use it: open frames, open requests, and how it ends."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from livepeer.runner._isolation.life import Life, fail
from livepeer.runner._isolation.messages import Failed
from livepeer.runner._live.isolated.hangs import Stopwatch
from livepeer.runner._live.isolated.messages import (
    SAME,
    Ask,
    Began,
    Data,
    Emitted,
    Event,
    Interrupt,
    Ready,
    Reply,
    Result,
    from_fault,
    placed,
)
from livepeer.runner._live.isolated.process import FrameProcess
from livepeer.runner._live.stage import Answer
from livepeer.runner.errors import (
    HookFailed,
    InvalidParams,
    StageAway,
)
from livepeer.trickle.errors import MediaError, MessageError
from livepeer.trickle.media.memory import pack, unpack
from livepeer.trickle.messages import decode_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer.runner._live.isolated.arena import Lease
    from livepeer.runner._live.isolated.messages import Hello, Message, Placed, Start, Stop, Update
    from livepeer.runner._live.stage import Frame
    from livepeer.runner._stream import Stream

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _OpenFrame:
    """A frame that the model has."""

    stage: int
    answer: Answer
    lease: Lease
    since: float


@dataclass(slots=True)
class _Request:
    """A hook that runs for a session."""

    future: asyncio.Future[None]
    given_up: float | None = None


class Link(Life[Ready]):
    """One life of the model. Make it on the network's loop.

    Args:
        hello: What the process is told first.
        find: The stream of a session, by its number; None when it is over.
        hook_timeout_s: How long a hook may keep a frame.
    """

    def __init__(
        self, hello: Hello, find: Callable[[int], Stream | None], hook_timeout_s: float
    ) -> None:
        super().__init__()
        self._find = find
        self._timeout_s = hook_timeout_s
        self._stopwatch = Stopwatch(hook_timeout_s)
        self._numbers = itertools.count()
        self._frames: dict[int, _OpenFrame] = {}
        self._requests: dict[int, _Request] = {}
        self._progress = time.monotonic()
        process = FrameProcess(hello.slots, self._take, self._lose, self._gone)
        self._process = process
        self._inbound, self._outbound = process.inbound, process.outbound
        process.channel.send(hello)

    def send(self, message: Message) -> None:
        """Tell the process something that needs no answer."""
        self._process.channel.send(message)

    async def request(self, make: Callable[[int], Start | Update | Stop]) -> None:
        """Let a hook run in the process, and wait for it.

        Args:
            make: The message, for a number.

        Raises:
            InvalidParams: It refused the parameters.
            HookFailed: It raised.
            StageAway: The process ended meanwhile.
        """
        number = next(self._numbers)
        request = _Request(self._loop.create_future())
        self._requests[number] = request
        try:
            sent = not self.lost and self._process.channel.send(make(number))
        except ValueError as error:
            self._requests.pop(number, None)
            raise InvalidParams(f"the parameters cannot be handed over: {error}") from None
        if not sent:
            self._requests.pop(number, None)
            raise StageAway(self._reason or "the model process is gone")
        try:
            await request.future
        except asyncio.CancelledError:
            request.given_up = time.monotonic()
            self._stopwatch.end(number, request.given_up)
            raise

    def submit(self, stage: int, frame: Frame) -> Answer:
        """Hand a frame over; safe from any thread, never blocks."""
        answer = Answer(frame)
        lease = self._outbound.take()
        if lease is None:
            answer.finish(HookFailed("the hooks keep too many frames: there is no room for more"))
            return answer
        try:
            about = pack(frame, lease.memory)
        except MediaError as error:
            self._outbound.give_up(lease.index)
            answer.finish(HookFailed(f"a frame cannot be handed over: {error}"))
            return answer
        except BaseException:
            self._outbound.give_up(lease.index)
            raise
        number = next(self._numbers)
        with self._lock:
            if not self.lost:
                self._frames[number] = _OpenFrame(stage, answer, lease, time.monotonic())
        answer.add_done_callback(lambda: self._close(number))
        message = Ask(stage, number, placed(lease.index, about))
        if self.lost or not self._process.channel.send(message):
            self._outbound.give_up(lease.index)
            answer.finish(StageAway(self._reason or "the model process is gone"))
        return answer

    def interrupt(self, stage: int) -> None:
        """Finish the open frames of a session; safe from any thread."""
        self._process.channel.send(Interrupt(stage))
        self._finish_frames("the stream ends", stage)

    @property
    def hang(self) -> str | None:
        """Why the process counts as hanging; None when it does not."""
        now = time.monotonic()
        for request in self._requests.values():
            # While somebody waits for it, whoever that is has a limit.
            given_up = request.given_up
            if given_up is not None and max(given_up, self._progress) < now - self._timeout_s:
                return f"a hook has not returned {self._timeout_s:g} s after it was given up"
        with self._lock:
            oldest = min((frame.since for frame in self._frames.values()), default=None)
        if oldest is not None and self._stopwatch.overdue(oldest, now):
            return f"a hook has kept a frame for {self._timeout_s:g} s"
        return None

    def _close(self, number: int) -> None:
        with self._lock:
            self._frames.pop(number, None)

    def _take(self, message: Message) -> None:
        """A message, on the thread that receives."""
        match message:
            case Result():
                self._answer(message)
            case Emitted(stage, where):
                frame = self._frame_in(where)
                stream = self._find(stage)
                if stream is not None:
                    stream.emit_frame(frame)
            case Event() | Data():
                self._emit(message)
            case Failed():
                self._refuse(message)
            case Ready() | Began() | Reply():
                self._on_loop(self._settle, message)
            case _:
                raise TypeError(f"it sent a {type(message).__name__}")

    def _answer(self, message: Result) -> None:
        with self._lock:
            found = self._frames.get(message.frame)
        self._progress = time.monotonic()
        for where in message.given:
            if where.slot != SAME:
                frame = self._frame_in(where)
            elif found is not None:
                frame = unpack(where.about, found.lease.memory, found.lease)[0]
            else:
                continue
            if found is not None:
                found.answer.give(frame)
        if message.done and found is not None:
            found.answer.finish(None if message.fault is None else from_fault(message.fault))

    def _frame_in(self, where: Placed) -> Frame:
        lease = self._inbound.adopt(where.slot)
        return unpack(where.about, lease.memory, lease)[0]

    def _emit(self, message: Event | Data) -> None:
        stream = self._find(message.stage)
        if stream is None:
            return
        try:
            body = decode_message(message.body)
            if isinstance(message, Event):
                stream.emit_event(body)
            else:
                stream.emit_data(body)
        except (MessageError, RecursionError) as error:
            # Longer, or nested more deeply, than can be sent from here.
            _log.error("stream %s: what a hook emitted is lost: %r", stream.id, error)

    def _settle(self, message: Ready | Began | Reply) -> None:
        now = time.monotonic()
        if isinstance(message, Ready):
            if not self.opened.done():
                self.opened.set_result(message)
            return
        if isinstance(message, Began):
            waiting = self._requests.get(message.request)
            if waiting is not None and waiting.given_up is None:
                self._stopwatch.begin(message.request, now)
            return
        self._progress = now
        self._stopwatch.end(message.request, now)
        request = self._requests.pop(message.request, None)
        if request is None or request.future.done():
            return
        if message.fault is None:
            request.future.set_result(None)
        else:
            request.future.set_exception(from_fault(message.fault))

    def _lose(self, reason: str) -> None:
        super()._lose(reason)
        self._finish_frames(self._reason or reason)

    def _finish_frames(self, reason: str, stage: int | None = None) -> None:
        with self._lock:
            frames = [
                frame for frame in self._frames.values() if stage is None or frame.stage == stage
            ]
        for frame in frames:
            frame.answer.finish(StageAway(reason))

    def _abandon(self, reason: str) -> None:
        for request in self._requests.values():
            fail(request.future, StageAway(reason))
        self._requests.clear()
