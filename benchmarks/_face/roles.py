"""What the processes under test say to the benchmark; nothing here imports more than it must."""

from __future__ import annotations

import json
import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def say(message: Mapping[str, object]) -> None:
    """Tell the process that started this one."""
    print(json.dumps(message), flush=True)


def cpu_seconds() -> float:
    """User and system time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
