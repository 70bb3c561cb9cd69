"""Bytes on their way to a reader, kept or shown as well."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, BinaryIO

from livepeer.trickle.media import AccessUnit, BytePipe, MediaReader

if TYPE_CHECKING:
    from collections.abc import Callable


class Tee(BytePipe):
    """A pipe that copies what is read from it."""

    def __init__(self, copy: BinaryIO) -> None:
        super().__init__()
        self._copy = copy

    def read(self, size: int) -> bytes:
        """From the reading thread: as from any pipe, and into the copy."""
        data = super().read(size)
        self._copy.write(data)
        return data


def report_units(pipe: BytePipe, on_unit: Callable[[AccessUnit, float], None]) -> None:
    """On a thread of the caller's: read until the pipe is closed.

    Args:
        pipe: What is read.
        on_unit: Called there with each access unit and its time of arrival (`time.monotonic`).
    """
    for item in MediaReader(pipe):
        if isinstance(item, AccessUnit):
            on_unit(item, time.monotonic())
