"""A session as the model process has it: its stage, and the way of its results to the runner."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from livepeer.runner._live.isolated.messages import (
    SAME,
    Ask,
    Data,
    Emitted,
    Event,
    Result,
    as_runner_error,
    placed,
    to_fault,
)
from livepeer.runner._logs import logged_as
from livepeer.runner._stream import Stream
from livepeer.runner.errors import HookFailed, RunnerError, StageAway
from livepeer.trickle.errors import MediaError
from livepeer.trickle.media import VideoFrame
from livepeer.trickle.media.memory import describe, pack, unpack
from livepeer.trickle.messages import MAX_LINE_BYTES, encode_message, within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from livepeer.runner._isolation.channel import Channel
    from livepeer.runner._live.in_process import InProcessHost
    from livepeer.runner._live.isolated.arena import Arena, Lease
    from livepeer.runner._live.isolated.messages import Message, Placed
    from livepeer.runner._live.stage import Answer, Frame

_log = logging.getLogger(__name__)

_SLOT_POLL_S: Final = 0.002


class _Open:
    """An answer whose end the runner does not have yet.

    Args:
        number: The runner's number of the frame.
        answer: What the author gives.
        raw: What lies in the runner's slot; None when the author's frame is a copy.
        lease: On that slot.
    """

    def __init__(
        self, number: int, answer: Answer, raw: object | None, lease: Lease | None
    ) -> None:
        self.number = number
        self.answer = answer
        self.raw = raw
        self.lease = lease
        self.held: Frame | None = None
        self.left = False
        self.done = False

    def next(self, timeout_s: float | None) -> Frame | None:
        """The frame that was held back, or else the answer's next one, as `Answer.get`."""
        held, self.held = self.held, None
        return self.answer.get(timeout_s) if held is None else held


class RemoteSession:
    """Hands frames to the in-process stage, and what it answers to the runner.

    Args:
        number: The runner's number of the session.
        stream_id: The network's name for it.
        host: Where the author's instance is.
        channel: To the runner.
        inbound: Where frames come in.
        outbound: Where results go.
        failed: Told of each exception of a frame hook.
    """

    def __init__(
        self,
        number: int,
        stream_id: str,
        host: InProcessHost,
        channel: Channel[Message],
        inbound: Arena,
        outbound: Arena,
        failed: Callable[[RunnerError], None],
    ) -> None:
        self._number = number
        self._channel = channel
        self._inbound = inbound
        self._outbound = outbound
        self._failed = failed
        self._released = False
        self._dropping = False
        with logged_as(stream_id):  # hooks run in the context in which their stage is made
            self.stage = host.stage(Stream(stream_id, self))
        self._lock = threading.Lock()
        self._open: deque[_Open] = deque()
        self._patient: queue.SimpleQueue[_Open | None] | None = None

    def ask(self, message: Ask) -> None:
        """Give a frame to its hook."""
        about = message.placed.about
        lease = self._inbound.adopt(message.placed.slot)
        frame, over = unpack(about, lease.memory, lease)
        if over and self._inbound.held > self._inbound.slots // 2:
            # The author keeps many: those must not take the runner's room for new ones.
            private = memoryview(bytearray(about.size))
            frame, over = unpack(pack(frame, private), private)[0], False
        # Before the hook may run, which may put another picture into the frame.
        raw = frame.raw if over and isinstance(frame, VideoFrame) else None
        answer = self.stage.submit(frame)
        with self._lock:
            self._open.append(_Open(message.frame, answer, raw, lease if over else None))
        answer.watch(self._forward_at_once)

    def release(self) -> None:
        """The session is over."""
        with self._lock:
            self._released = True
            if self._patient is not None:
                self._patient.put(None)
        self.stage.interrupt()
        self.stage.release()

    def emit_event(self, message: Mapping[str, object]) -> None:
        """Send an event."""
        self._emit(Event(self._number, encode_message(message)))

    def report(self, message: str) -> None:
        """Send an error; nobody's in this process, where hooks report nothing."""
        self.emit_event({"type": "error", "message": message})

    def emit_data(self, message: Mapping[str, object]) -> None:
        """Send a line of data."""
        line = within(encode_message(message), MAX_LINE_BYTES, "line")
        self._emit(Data(self._number, line))

    def emit_frame(self, frame: Frame) -> None:
        """Send a frame; dropped when the runner has no room left for it."""
        lease = self._outbound.take()
        if lease is None:
            self._note_drop()
            return
        self._emit(Emitted(self._number, self._pack(frame, lease)))

    def _emit(self, message: Event | Data | Emitted) -> None:
        if self._released or not self._channel.send(message, droppable=True):
            if isinstance(message, Emitted):
                self._outbound.give_up(message.placed.slot)
            self._note_drop()
        else:
            self._dropping = False

    def _note_drop(self) -> None:
        if not self._dropping and not self._released:
            self._dropping = True
            _log.warning("the runner does not keep up with what hooks emit: some of it is lost")

    def _forward_at_once(self) -> None:
        """What there is of the oldest answers, from the thread that gave it, often the author's.

        In the order of their frames, so that no later one takes the room that an earlier one needs.
        """
        with self._lock:
            while self._open and not self._open[0].left:
                oldest = self._open[0]
                if not self._forward(oldest, patient=False):
                    oldest.left = True
                    self._leave(oldest)
                elif not oldest.done:
                    return
                else:
                    self._open.popleft()

    def _leave(self, open_: _Open) -> None:
        """The rest of an answer is forwarded by a thread that can wait."""
        if self._patient is None:
            self._patient = queue.SimpleQueue()
            threading.Thread(
                target=self._forward_left, args=(self._patient,), name="results", daemon=True
            ).start()
        self._patient.put(open_)

    def _forward_left(self, left: queue.SimpleQueue[_Open | None]) -> None:
        while (open_ := left.get()) is not None:
            while not open_.done:
                self._forward(open_, patient=True)
            with self._lock:
                self._open.popleft()
            del open_  # or the author's last frame would be held until the next one
            self._forward_at_once()

    def _forward(self, open_: _Open, *, patient: bool) -> bool:
        """Send what there is of an answer; False when somebody has to wait with the rest.

        Args:
            open_: The answer.
            patient: Wait until there is something, and for room.
        """
        given: list[Placed] = []
        fault = None
        try:
            while not (patient and given):  # what waits for room must not hold back what frees it
                frame = open_.next(None if patient else 0.0)
                if frame is None:
                    open_.done = True
                    break
                where = self._place(frame, open_, patient)
                if where is None:
                    open_.held = frame
                    break
                given.append(where)
        except TimeoutError:  # the rest is forwarded when it comes
            pass
        except Exception as error:  # noqa: BLE001 - the author's frame: the runner waits for a word
            failed = as_runner_error(error)
            self._failed(failed)
            open_.done, fault = True, to_fault(failed)
        if given or open_.done:
            self._channel.send(Result(open_.number, given, open_.done, fault))
        if open_.done:
            open_.raw = open_.lease = None
        return open_.held is None

    def _place(self, frame: Frame, open_: _Open, patient: bool) -> Placed | None:
        """Where the runner finds a frame; None when that has to be waited for."""
        if open_.raw is not None and frame.raw is open_.raw:
            return placed(SAME, describe(frame))
        if not patient and isinstance(frame, VideoFrame) and frame.on_device:
            return None
        while (room := self._outbound.take()) is None:
            if self._released:
                raise StageAway("the stream ends")
            if not patient:
                return None
            time.sleep(_SLOT_POLL_S)
        return self._pack(frame, room)

    def _pack(self, frame: Frame, room: Lease) -> Placed:
        try:
            return placed(room.index, pack(frame, room.memory))
        except BaseException as error:
            self._outbound.give_up(room.index)
            if isinstance(error, MediaError):
                raise HookFailed(f"a result cannot be handed over: {error}") from error
            raise
