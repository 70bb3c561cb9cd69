"""`livepeer trickle`, run as users run it: processes of their own."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

import pytest

from livepeer.trickle import TrickleServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

LIMIT_S = 60.0
"""For anything that a test waits for; only a fault lets it pass."""

_POLL_S = 0.01


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run ended."""

    status: int | None
    out: bytes
    err: str

    def error(self) -> str:
        """The one line that says what was wrong, where nothing else was said."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        return lines[0].removeprefix("error: ")


class Command:
    """A run of `livepeer trickle`."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def read(self, size: int) -> bytes:
        """So many bytes of standard output, as soon as they are there."""
        assert self.process.stdout is not None
        return await asyncio.wait_for(self.process.stdout.readexactly(size), LIMIT_S)

    async def line(self) -> str:
        """A line of standard output, as soon as it is there."""
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), LIMIT_S)).decode().strip()

    def feed(self, data: bytes) -> None:
        """Give it bytes on standard input, which stays open."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    async def ended(self, stdin: bytes = b"") -> Ended:
        """Give it the rest of standard input, and wait for its end; with what it still wrote."""
        out, err = await asyncio.wait_for(self.process.communicate(stdin), LIMIT_S)
        text = err.decode()
        assert "Traceback" not in text, text
        return Ended(status=self.process.returncode, out=out, err=text)


class Until(Protocol):
    """Waits until something is so."""

    async def __call__(self, so: Callable[[], object]) -> None: ...


@pytest.fixture
def until() -> Until:
    async def until(so: Callable[[], object]) -> None:
        for _ in range(int(LIMIT_S / _POLL_S)):
            if so():
                return
            await asyncio.sleep(_POLL_S)
        raise TimeoutError

    return until


class Start(Protocol):
    """Starts a run of `livepeer trickle`; one that is still there at the test's end is killed."""

    async def __call__(self, *arguments: object, stdin: IO[bytes] | int = PIPE) -> Command: ...


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    started: list[Process] = []

    async def start(*arguments: object, stdin: IO[bytes] | int = PIPE) -> Command:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "livepeer.cli", "trickle", *map(str, arguments)),
            stdin=stdin,
            stdout=PIPE,
            stderr=PIPE,
        )
        started.append(process)
        return Command(process)

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.fixture
async def server() -> TrickleServer:
    return TrickleServer(autocreate=True, listing=True)


@pytest.fixture
async def base(server: TrickleServer) -> AsyncIterator[str]:
    """The base URL of `server`."""
    async with server.listening() as url:
        yield url
