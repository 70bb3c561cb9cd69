"""Messages over a socket between two processes; whoever sends never waits."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from livepeer.runner._isolation.codec import NoMessage

if TYPE_CHECKING:
    from livepeer.runner._isolation.codec import Codec

M = TypeVar("M")

MAX_MESSAGE_BYTES: Final = 128 * 1024 * 1024
"""Largest message: the largest body that a request may have by default, and room."""

BACKLOG_BYTES: Final = 8 * 1024 * 1024
"""How much of what may be lost (events, data) waits for a peer that does not read."""

_LENGTH: Final = struct.Struct("!I")


class Channel(Generic[M]):
    """Both directions of one socket.

    What the socket takes at once is sent from the caller's thread; only for the rest is there a
    thread, which is started when it is first needed.

    Args:
        sock: To the other process.
        codec: The messages that both know.
        max_message_bytes: Largest one; of what must not be lost, twice that may wait.

    Attributes:
        max_message_bytes: As given; a peer that is told later sets it before there is more.
    """

    def __init__(
        self, sock: socket.socket, codec: Codec[M], max_message_bytes: int = MAX_MESSAGE_BYTES
    ) -> None:
        self._socket = sock
        self._codec = codec
        self.max_message_bytes = max_message_bytes
        self._input = sock.makefile("rb", buffering=256 * 1024)
        self._backlog: deque[memoryview] = deque()
        self._waiting = 0
        self._condition = threading.Condition()
        self._sender: threading.Thread | None = None
        self._closed = False

    @classmethod
    def pair(
        cls, codec: Codec[M], max_message_bytes: int = MAX_MESSAGE_BYTES
    ) -> tuple[Channel[M], socket.socket]:
        """A channel, and the socket for the other process."""
        ours, theirs = socket.socketpair()
        return cls(ours, codec, max_message_bytes), theirs

    def send(self, message: M, *, droppable: bool = False) -> bool:
        """Send a message, from any thread, after those before it.

        Args:
            message: What to send.
            droppable: It is lost when the peer is `BACKLOG_BYTES` behind.

        Returns:
            Whether it is on its way; not when the channel is closed or the peer is gone.

        Raises:
            ValueError: As `Codec.encode`.
        """
        data = self._codec.encode(message)
        if len(data) > self.max_message_bytes:
            return False
        view = memoryview(_LENGTH.pack(len(data)) + data)
        with self._condition:
            if self._closed:
                return False
            if not self._backlog:
                try:
                    view = view[self._socket.send(view, socket.MSG_DONTWAIT) :]
                except BlockingIOError:
                    pass
                except OSError:
                    self._closed = True
                    return False
                if not view:
                    return True
            elif self._waiting + len(view) > self._limit(droppable):
                return False
            self._backlog.append(view)
            self._waiting += len(view)
            if self._sender is None:
                self._sender = threading.Thread(
                    target=self._send_backlog, name="send to process", daemon=True
                )
                self._sender.start()
            self._condition.notify_all()
            return True

    def receive(self) -> M | None:
        """Wait for the next message; None when there will be none.

        Raises:
            NoMessage: What came is none; the peer cannot be understood any more.
        """
        try:
            header = self._input.read(_LENGTH.size)
            if len(header) < _LENGTH.size:
                return None
            (length,) = _LENGTH.unpack(header)
            if length > self.max_message_bytes:
                raise NoMessage(f"what has {length} bytes is no message")
            data = self._input.read(length)
        except (OSError, ValueError):  # the peer is gone, or the channel was closed here
            return None
        return self._codec.decode(data) if len(data) == length else None

    @property
    def ended(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._closed

    def flush(self, timeout_s: float) -> None:
        """Wait until all is sent, or the time is over."""
        with self._condition:
            self._condition.wait_for(lambda: not self._backlog or self._closed, timeout_s)

    def end(self) -> None:
        """Let both processes see the end; from any thread, idempotent."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket, after `end`, and once nobody receives any more."""
        self.end()
        if self._sender is not None:
            self._sender.join()
        self._input.close()
        self._socket.close()

    def _limit(self, droppable: bool) -> int:
        return BACKLOG_BYTES if droppable else 2 * self.max_message_bytes

    def _send_backlog(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._backlog or self._closed)
                if self._closed:
                    return
                view = self._backlog[0]
            try:
                self._socket.sendall(view)
            except OSError:
                self.end()
                return
            with self._condition:
                self._backlog.popleft()
                self._waiting -= len(view)
                self._condition.notify_all()
