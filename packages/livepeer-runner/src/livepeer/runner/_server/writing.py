"""What is written to a connection in one turn of the loop goes out with one write."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    Bytes = bytes | bytearray | memoryview

_MOST: Final = 64 * 1024


class Gathering(asyncio.Transport):
    """A transport that hands over at the end of the turn what was written in it.

    A server writes an answer in parts (its headers, its body, the end of its chunks), each of which
    is a call of the system, and these cost more than the answer. Above 64 KiB it hands over at
    once, so that the transport below can tell the writer to wait.

    Args:
        below: The connection's own.
    """

    def __init__(self, below: asyncio.Transport) -> None:
        super().__init__()
        self._below = below
        self._loop = asyncio.get_running_loop()
        self._parts: list[Bytes] = []
        self._size = 0
        self._turn: asyncio.Handle | None = None
        # The server asks for these with each request.
        self.is_closing = below.is_closing  # type: ignore[method-assign]  # the same, nearer
        self.get_extra_info = below.get_extra_info  # type: ignore[method-assign]  # as above

    def write(self, data: Bytes) -> None:
        """Take a part; it goes out in this turn of the loop."""
        if not data:
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size >= _MOST:
            self.flush()
        elif self._turn is None:
            self._turn = self._loop.call_soon(self.flush)

    def writelines(self, list_of_data: Iterable[Bytes]) -> None:
        """Take several parts."""
        for data in list_of_data:
            self.write(data)

    def flush(self) -> None:
        """Hand over what was written."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        if self._parts:
            parts, self._parts = self._parts, []
            self._size = 0
            self._below.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def close(self) -> None:
        """End it after what was written."""
        self.flush()
        self._below.close()

    def write_eof(self) -> None:
        """End this direction after what was written."""
        self.flush()
        self._below.write_eof()

    def can_write_eof(self) -> bool:
        """Whether one direction can end alone."""
        return self._below.can_write_eof()

    def abort(self) -> None:
        """End it at once; what was written may be lost."""
        self._parts.clear()
        self._below.abort()

    def is_reading(self) -> bool:
        """Whether it takes what comes in."""
        return self._below.is_reading()

    def pause_reading(self) -> None:
        """Take nothing more in for now."""
        self._below.pause_reading()

    def resume_reading(self) -> None:
        """Take in again."""
        self._below.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what comes in to another protocol."""
        self._below.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """What takes what comes in."""
        return self._below.get_protocol()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When the protocol is told to wait."""
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """What has not gone out, in bytes."""
        return self._size + self._below.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """As they were set."""
        return self._below.get_write_buffer_limits()
