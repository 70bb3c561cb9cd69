"""A connection whose other side takes nothing of what waits for it is ended."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket

_log = logging.getLogger(__name__)

_LOOKS: Final = 8


class Stall:
    """Tells from how much waits, and when, whether nothing was taken for too long; pure.

    Args:
        limit_s: For how long it may be so.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._waits: int | None = None
        self._since = 0.0

    def is_over(self, waits: int, now: float) -> bool:
        """Look once.

        Args:
            waits: Bytes that wait to be taken.
            now: When that is so, in seconds.
        """
        if self._waits != waits:
            self._waits, self._since = waits, now
        return now - self._since >= self._limit_s


class StallWatch:
    """Ends a connection, as if the caller had left, when he takes nothing for too long.

    He may be as slow as he likes: what counts is that he takes something. Linux tells what he has
    taken; elsewhere it is what the system has.

    Args:
        transport: The connection's.
        limit_s: For how long he may take nothing.
    """

    def __init__(self, transport: asyncio.Transport, limit_s: float) -> None:
        self._transport = transport
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """More waits than there is room for."""
        self.end()
        self._look(Stall(self._limit_s))

    def end(self) -> None:
        """There is room again, or nobody to wait for. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, stall: Stall) -> None:
        if stall.is_over(_waits(self._transport), self._loop.time()):
            _log.info("a caller took nothing for %g s, and counts as gone", self._limit_s)
            self._transport.abort()
        else:
            self._timer = self._loop.call_later(self._limit_s / _LOOKS, self._look, stall)


def _waits(transport: asyncio.Transport) -> int:
    """Bytes that the other side has not taken."""
    ours = transport.get_write_buffer_size()
    sock: socket.socket | None = transport.get_extra_info("socket")
    return ours if sock is None else ours + _unsent(sock)


def _unsent(sock: socket.socket) -> int:
    """Bytes that the system has, and the other side has not confirmed; 0 where it does not tell."""
    if sys.platform != "linux":
        return 0
    import fcntl
    import struct
    import termios

    try:
        told = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:  # it is closed
        return 0
    (count,) = struct.unpack("i", told)
    return int(count)
