"""Exceptions on their way between two processes, in words."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRACE_CHARS: Final = 16_000
# By name: torch is not imported for it.
_EXITS: Final = (SystemExit, KeyboardInterrupt)
_DEVICE: Final = ("torch", "AcceleratorError")
_FATAL: Final = {("torch", "OutOfMemoryError"), _DEVICE}


class ModelTraceback(Exception):
    """The traceback of an exception in the model process; shown as the cause."""

    def __init__(self, trace: str) -> None:
        super().__init__(f"in the model process\n{trace}")


def trace_of(error: BaseException | None) -> str:
    """The last of an exception's traceback, as a text that can be sent; empty for None."""
    if error is None:
        return ""
    text = sendable("".join(traceback.format_exception(error)))
    return text if len(text) <= _TRACE_CHARS else f"...\n{text[-_TRACE_CHARS:]}"


def sendable(text: str) -> str:
    """An author's text, in which halves of characters are written out."""
    return text.encode(errors="backslashreplace").decode()


def is_fatal(error: BaseException | None) -> bool:
    """Whether an exception, or its cause, means that the model cannot go on in its process.

    Used-up memory comes back in pieces at best, and after an error of the device every later call
    fails too (`torch.AcceleratorError`, from CUDA's "sticky" errors). A hook that exits means it.
    """
    return any(isinstance(cause, _EXITS) or _spoils(cause) for cause in causes(error))


def breaks_device(error: BaseException | None) -> bool:
    """Whether an exception, or its cause, means that the device is lost to its process."""
    return any(_DEVICE in _names(cause) for cause in causes(error))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and what it was raised from, in that order."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def search_path() -> list[str]:
    """Where the model process is to look for modules: where this one does."""
    return [entry for entry in sys.path if entry]


def _spoils(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or bool(_names(error) & _FATAL)


def _names(error: BaseException) -> set[tuple[str, str]]:
    return {(cls.__module__.partition(".")[0], cls.__name__) for cls in type(error).__mro__}
