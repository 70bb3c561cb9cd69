"""What the machine is: figures without it mean nothing."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path


def describe() -> dict[str, str]:
    """The machine and how busy it is, in words."""
    found = {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": _memory(),
        "python": platform.python_version(),
    }
    with suppress(OSError):
        found["load"] = " ".join(f"{load:.2f}" for load in os.getloadavg())
    return found


def is_busy() -> bool:
    """Whether others use more than a quarter of it."""
    with suppress(OSError):
        return os.getloadavg()[0] > (os.cpu_count() or 1) / 4
    return False


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    with suppress(ValueError, OSError, AttributeError):
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return f"{size / 2**30:.1f} GiB"
    return "unknown"
