"""What a process and all that it started have used, as Linux tells it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from .processes import resident_of

_TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """The process and its descendants, of whom none has been taken over by another."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int(_fields(int(folder.name))[1])
            children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def cpu_of_family(pid: int) -> float:
    """CPU seconds of all of them, of threads and of children too that have ended."""
    total = 0
    for member in family(pid):
        with suppress(OSError):
            # utime, stime, cutime, cstime: fields 14 to 17 of proc(5), counted from 1.
            total += sum(int(ticks) for ticks in _fields(member)[11:15])
    return total / _TICKS


def resident_of_family(pid: int) -> float:
    """The resident sets of all of them in MiB; what they share counts more than once."""
    return sum(resident_of(member) for member in family(pid))


def _fields(pid: int) -> list[str]:
    """The fields of `stat` from the third one on; the second may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
