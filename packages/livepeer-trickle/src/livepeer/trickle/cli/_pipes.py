"""Where bytes come from and go to: a file, or a standard stream."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self

from ._thread import BlockingThread

if TYPE_CHECKING:
    from pathlib import Path

_PIECE_BYTES: Final = 64 * 1024
_BINARY: Final = getattr(os, "O_BINARY", 0)


class OutputClosed(Exception):
    """Nobody reads the output any more."""


class Input:
    """The bytes of a file, or of standard input for None; a context manager."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stack = ExitStack()
        self._thread = BlockingThread()
        self._fd: int | None = None

    async def open(self) -> int | None:
        """Open it; how large it is, in bytes, where that is known.

        Raises:
            OSError: It cannot be opened.
        """
        if self._path is None:
            if sys.__stdin__ is None:
                raise OSError("standard input is closed")
            self._fd = sys.__stdin__.fileno()
        else:
            # A named pipe blocks until somebody writes to it.
            self._fd = await self._thread.call(os.open, self._path, os.O_RDONLY | _BINARY)
            self._stack.callback(os.close, self._fd)
        status = os.fstat(self._fd)
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    async def read(self) -> bytes:
        """What is there, at most 64 KiB; waits for something, and b"" is the end."""
        assert self._fd is not None
        return await self._thread.call(os.read, self._fd, _PIECE_BYTES)

    def __enter__(self) -> Self:
        self._stack.enter_context(self._thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class Output:
    """Takes bytes to a file, or to standard output for None; a context manager.

    The file is begun anew when the first bytes are there, and not before.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stack = ExitStack()
        self._thread = BlockingThread()
        self._fd: int | None = None

    async def write(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            OutputClosed: The other end of the pipe was closed.
            OSError: It cannot be written.
        """
        fd = await self.open()
        try:
            await self._thread.call(_write_all, fd, data)
        except BrokenPipeError as error:
            raise OutputClosed from error

    async def open(self) -> int:
        """Begin the file, unless that was done; its descriptor.

        Raises:
            OSError: It cannot be opened.
        """
        if self._fd is not None:
            return self._fd
        if self._path is None:
            if sys.__stdout__ is None:
                raise OSError("standard output is closed")
            self._fd = sys.__stdout__.fileno()
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY
            self._fd = await self._thread.call(os.open, self._path, flags, 0o666)
            self._stack.callback(os.close, self._fd)
        return self._fd

    def __enter__(self) -> Self:
        self._stack.enter_context(self._thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
