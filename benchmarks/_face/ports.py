"""Ports of this machine: one that is free, and whether somebody listens there."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .processes import Child


def free_port() -> int:
    """A port that is free on this machine, as far as can be known."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def comes_up(child: Child, port: int, within_s: float) -> bool:
    """Wait until a process listens; False when it ended before, or does not in time."""
    deadline = time.monotonic() + within_s
    while not _listens(port):
        if not child.alive or time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
