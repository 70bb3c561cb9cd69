"""A file that is there only when all of it was written."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Generator
    from io import BufferedWriter
    from pathlib import Path


@contextmanager
def named(target: Path) -> Generator[None]:
    """Have errors name the file that was to be written, and not one beside it, or none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error


class NewFile:
    """Writes beside the target, and takes its place at the end. An async context manager.

    Left by an error, it leaves the target as it was. What is no plain file, such as a device, is
    written to as it is.

    Args:
        target: The file; one that is there already is replaced.

    Raises:
        OSError: It cannot be written; the error names the target.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._beside: Path | None = None
        self._file: BufferedWriter | None = None

    async def write(self, data: bytes) -> None:
        """Write some more."""
        assert self._file is not None
        with named(self._target):
            await asyncio.to_thread(self._file.write, data)

    async def __aenter__(self) -> Self:
        opening = asyncio.ensure_future(asyncio.to_thread(self._open))
        try:
            with named(self._target):
                await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])
            self._discard()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                with named(self._target):
                    await asyncio.to_thread(self._finish)
        finally:
            self._discard()

    def _open(self) -> None:
        target = self._target
        if not target.name or target.is_dir():
            raise IsADirectoryError(21, "Is a directory", str(target))
        if target.exists() and not target.is_file():
            self._file = target.open("wb")
            return
        beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        self._file = beside.open("xb")
        self._beside = beside

    def _finish(self) -> None:
        assert self._file is not None
        self._file.close()
        if self._beside is not None:
            self._beside.replace(self._target)
            self._beside = None

    def _discard(self) -> None:
        try:
            if self._file is not None:
                self._file.close()
        finally:
            if self._beside is not None:
                self._beside.unlink(missing_ok=True)
