"""A session as the model process has it: its stage, and the way of its results to the runner."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING, Final

from livepeer.runner._live.isolated.messages import (
    SAME,
    Ask,
    Data,
    Emitted,
    Event,
    Result,
    as_runner_error,
    to_fault,
)
from livepeer.runner._logs import logged_as
from livepeer.runner._stream import Stream
from livepeer.runner.errors import HookFailed, RunnerError, StageAway
from livepeer.trickle.errors import MediaError
from livepeer.trickle.media.memory import describe, lies_in, pack, unpack
from livepeer.trickle.messages import MAX_LINE_BYTES, encode_message, within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from livepeer.runner._live.in_process import InProcessHost
    from livepeer.runner._live.isolated.arena import Arena, Lease
    from livepeer.runner._live.isolated.channel import Channel
    from livepeer.runner._live.stage import Answer, Frame
    from livepeer.trickle.media.memory import Description

_log = logging.getLogger(__name__)

_BATCH: Final = 4
_SLOT_POLL_S: Final = 0.002


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
        channel: Channel,
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
        self._answers: queue.SimpleQueue[tuple[int, Answer, Lease | None] | None] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._forward_all, name="results", daemon=True).start()

    def ask(self, message: Ask) -> None:
        """Give a frame to its hook."""
        lease = self._inbound.adopt(message.slot)
        frame, over = unpack(message.about, lease.memory, lease)
        if over and self._inbound.held > self._inbound.slots // 2:
            # The author keeps many: those must not take the runner's room for new ones.
            private = memoryview(bytearray(message.about.size))
            frame, over = unpack(pack(frame, private), private)[0], False
        answer = self.stage.submit(frame)
        self._answers.put((message.frame, answer, lease if over else None))

    def release(self) -> None:
        """The session is over."""
        self._released = True
        self.stage.interrupt()
        self.stage.release()
        self._answers.put(None)

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
        self._emit(Emitted(self._number, lease.index, self._pack(frame, lease)))

    def _emit(self, message: Event | Data | Emitted) -> None:
        if self._released or not self._channel.send(message, droppable=True):
            if isinstance(message, Emitted):
                self._outbound.give_up(message.slot)
            self._note_drop()
        else:
            self._dropping = False

    def _note_drop(self) -> None:
        if not self._dropping and not self._released:
            self._dropping = True
            _log.warning("the runner does not keep up with what hooks emit: some of it is lost")

    def _forward_all(self) -> None:
        while (item := self._answers.get()) is not None:
            self._forward(*item)
            del item  # or the author's last frame would be held until the next one

    def _forward(self, number: int, answer: Answer, lease: Lease | None) -> None:
        done = False
        while not done:
            result = self._next(number, answer, lease)
            done = result.done
            self._channel.send(result)

    def _next(self, number: int, answer: Answer, lease: Lease | None) -> Result:
        """What there is of an answer, once there is something."""
        given: list[tuple[int, Description]] = []
        try:
            while True:
                frame = answer.get()
                if frame is None:
                    return Result(number, given, True, None)
                given.append(self._place(frame, answer, lease))
                if len(given) == _BATCH or not answer.done:
                    return Result(number, given, False, None)
        except Exception as error:  # noqa: BLE001 - the author's frame: the runner waits for a word
            failed = as_runner_error(error)
            self._failed(failed)
            return Result(number, given, True, to_fault(failed))

    def _place(self, frame: Frame, answer: Answer, lease: Lease | None) -> tuple[int, Description]:
        """The slot where the runner finds a frame."""
        if frame is answer.source and lease is not None and lies_in(frame, lease.memory):
            return SAME, describe(frame)
        while (room := self._outbound.take()) is None:
            if self._released:
                raise StageAway("the stream ends")
            time.sleep(_SLOT_POLL_S)
        return room.index, self._pack(frame, room)

    def _pack(self, frame: Frame, room: Lease) -> Description:
        try:
            return pack(frame, room.memory)
        except MediaError as error:
            self._outbound.give_up(room.index)
            raise HookFailed(f"a result cannot be handed over: {error}") from error
