"""A server of a subject: its start, its health, and its end with all that it started."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from _face.environments import Unavailable
from _face.ports import free_port
from _face.processes import Child, Failed
from _face.usage import family, resident_of_family

from .setup import COG, HEALTH

if TYPE_CHECKING:
    from collections.abc import Generator

    from .setup import Setup

START_S = 60.0
LOOK_S = 0.005
HEALTH_S = 5.0
STOP_S = 8.0


@dataclass(frozen=True)
class Server:
    """A server that is ready.

    Attributes:
        subject: Whose it is.
        work: What it serves.
        port: Where.
        pid: Its first process.
        start: Seconds from its process to its first healthy answer.
    """

    subject: str
    work: str
    port: int
    pid: int
    start: float

    def resident(self) -> float:
        """MiB of it and its children; what they share counts more than once."""
        return resident_of_family(self.pid)


@contextmanager
def started(setup: Setup, subject: str, work: str, concurrency: int) -> Generator[Server]:
    """A server of one work that is healthy.

    Raises:
        Failed: It cannot do that work, or did not start.
    """
    port = free_port()
    begun = time.monotonic()
    try:
        child = setup.server(subject, work, concurrency, port)
    except Unavailable as error:
        raise Failed(str(error)) from None
    with child, _ended(child):
        _await_healthy(child, subject, port)
        yield Server(subject, work, port, child.pid, time.monotonic() - begun)


def _await_healthy(child: Child, subject: str, port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if not child.alive:
            child.hear(0.5)
            raise Failed("it ended before it was ready")
        if _healthy(subject, port):
            return
        time.sleep(LOOK_S)
    raise Failed(f"it is not ready in {START_S:g} s")


def _healthy(subject: str, port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=HEALTH_S)
    try:
        connection.request("GET", HEALTH[subject])
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    said = b"READY" if subject == COG else b"OK" if HEALTH[subject] == "/health" else b""
    return answer.status == 200 and said.lower() in body.lower()


@contextmanager
def _ended(child: Child) -> Generator[None]:
    """See that nothing of it is left, whatever it started."""
    try:
        yield
    finally:
        born = {pid: _born(pid) for pid in family(child.pid)}
        with suppress(OSError):
            os.kill(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while time.monotonic() < deadline and any(_same(pid, at) for pid, at in born.items()):
            # It is ours to see off, or it would stay a zombie.
            _ = child.alive
            time.sleep(LOOK_S)
        for pid, at in born.items():
            if _same(pid, at):
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)


def _same(pid: int, born: str) -> bool:
    return bool(born) and _born(pid) == born


def _born(pid: int) -> str:
    """When a process was started, which tells it from a later one of that number."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
