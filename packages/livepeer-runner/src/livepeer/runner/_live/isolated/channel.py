"""Messages over a socket between two processes; whoever sends never waits."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from livepeer.runner._live.isolated.messages import Message, NoMessage, decode, encode

if TYPE_CHECKING:
    from typing import Self

MAX_MESSAGE_BYTES: Final = 128 * 1024 * 1024
"""Largest message: the largest body that a request may have by default, and room."""

BACKLOG_BYTES: Final = 8 * 1024 * 1024
"""How much of what may be lost (events, data) waits for a peer that does not read."""

_HARD_BYTES: Final = 2 * MAX_MESSAGE_BYTES
_LENGTH: Final = struct.Struct("!I")


class Channel:
    """Both directions of one socket.

    What the socket takes at once is sent from the caller's thread; only for the rest is there a
    thread, which is started when it is first needed.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._input = sock.makefile("rb", buffering=256 * 1024)
        self._backlog: deque[memoryview] = deque()
        self._waiting = 0
        self._condition = threading.Condition()
        self._sender: threading.Thread | None = None
        self._closed = False

    @classmethod
    def pair(cls) -> tuple[Self, socket.socket]:
        """A channel, and the socket for the other process."""
        ours, theirs = socket.socketpair()
        return cls(ours), theirs

    def send(self, message: Message, *, droppable: bool = False) -> bool:
        """Send a message, from any thread, after those before it.

        Args:
            message: What to send.
            droppable: It is lost when the peer is `BACKLOG_BYTES` behind.

        Returns:
            Whether it is on its way; not when the channel is closed or the peer is gone.

        Raises:
            ValueError: As `encode`.
        """
        data = encode(message)
        if len(data) > MAX_MESSAGE_BYTES:
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
            elif self._waiting + len(view) > (BACKLOG_BYTES if droppable else _HARD_BYTES):
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

    def receive(self) -> Message | None:
        """Wait for the next message; None when there will be none.

        Raises:
            NoMessage: What came is none; the peer cannot be understood any more.
        """
        try:
            header = self._input.read(_LENGTH.size)
            if len(header) < _LENGTH.size:
                return None
            (length,) = _LENGTH.unpack(header)
            if length > MAX_MESSAGE_BYTES:
                raise NoMessage(f"what has {length} bytes is no message")
            data = self._input.read(length)
        except (OSError, ValueError):  # the peer is gone, or the channel was closed here
            return None
        return decode(data) if len(data) == length else None

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
