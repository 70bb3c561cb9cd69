"""glibc's malloc and the collector, in a process that is there to serve video."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_MIB: Final = 1024 * 1024


class _Option(NamedTuple):
    number: int
    value: int
    variable: str
    tunable: str


# The numbers are those of glibc's malloc.h.
_OPTIONS: Final = (
    # Each thread of a stream may open a heap of its own, which keeps its peak for ever, because
    # malloc_trim leaves the top of every heap but the first where it is.
    _Option(-8, 1, "MALLOC_ARENA_MAX", "glibc.malloc.arena_max"),
    # A picture takes megabytes: given back to the kernel after each, they are faulted in anew for
    # the next one. The second is the largest that glibc takes.
    _Option(-1, 256 * _MIB, "MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold"),
    _Option(-3, 32 * _MIB, "MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold"),
)


class _Memory:
    """What is done to the memory of this process: nothing, until it is known to be ours."""

    ours = False
    trim: Callable[[ctypes.c_size_t], object] | None = None


def configure() -> None:
    """Set malloc for video, where it is glibc's; each option unless the environment has it.

    Only for a process that is nobody else's, and before its threads begin, which keep the heaps
    that they have. From then on `give_back` does something.
    """
    _Memory.ours = True
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    with suppress(AttributeError):  # musl has neither
        set_option, _Memory.trim = libc.mallopt, libc.malloc_trim
        for option in _OPTIONS:
            if not _chosen(option):
                set_option(option.number, option.value)


def give_back() -> None:
    """Free what cycles hold, and give the kernel what is free; while no stream runs.

    Nothing where `configure` was not called. It stops the whole process for as long as a collection
    takes, 40 ms for a runner alone and 250 ms with a large library beside it: a stream would show
    it.
    """
    if not _Memory.ours:
        return
    # Of an ended session its failed requests stay, whose tracebacks hold what they are held by. By
    # itself the collector comes when there is a quarter more of everything.
    gc.collect()
    if _Memory.trim is not None:
        _Memory.trim(ctypes.c_size_t(0))


def _chosen(option: _Option) -> bool:
    tunables = os.environ.get("GLIBC_TUNABLES", "").split(":")
    named = {tunable.partition("=")[0] for tunable in tunables}
    return option.variable in os.environ or option.tunable in named
