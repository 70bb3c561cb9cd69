"""Pipelines for the processes of the tests."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator  # noqa: TC003 - read at run time
from pathlib import Path

from fastapi import APIRouter

from livepeer.runner import Pipeline
from livepeer.runner._context import context
from livepeer.runner.errors import InputError

_log = logging.getLogger("author")


def note(text: str) -> None:
    """Write down what happened, and in which process."""
    with Path(os.environ["TEST_NOTES"]).open("a") as notes:
        notes.write(f"{os.getpid()} {text}\n")


def kept(what: str) -> bool:
    """Whether the test holds it up."""
    return Path(os.environ["TEST_NOTES"]).with_name(what).exists()


def wait_for(what: str) -> None:
    """Until the test does not hold it up any more, or nobody waits for the call."""
    until = time.monotonic() + 60
    while kept(what) and not context.cancelled() and time.monotonic() < until:
        time.sleep(0.005)


class Unwilling(InputError):
    """An author's class that says its own status."""

    status = 418


class Own(Exception):
    """An author's class."""


class OutOfMemoryError(RuntimeError):
    """As torch has it."""


OutOfMemoryError.__module__ = "torch"


class AcceleratorError(RuntimeError):
    """As torch has it."""


AcceleratorError.__module__ = "torch"


class Works(Pipeline):
    """Does what it is told."""

    def setup(self) -> None:
        context.progress("reading weights", 0.5)
        wait_for("starting")
        note("setup")

    def predict(self, do: str = "pid", n: int = 0) -> object:
        done = getattr(self, do)(n)
        return os.getpid() if done is None else done

    def teardown(self) -> None:
        note("teardown")

    def pid(self, n: int) -> None:
        time.sleep(n / 1000)

    def gpus(self, n: int) -> str:
        return os.environ.get("CUDA_VISIBLE_DEVICES", "none")

    def large(self, n: int) -> str:
        return "x" * n

    def secret(self, n: int) -> str:
        return os.environ.get("ORCH_SECRET", "none")

    def asked(self, n: int) -> str | None:
        _log.warning("at work")
        return context.request_id

    def held(self, n: int) -> None:
        note("held")
        until = time.monotonic() + 60
        while kept("working") and time.monotonic() < until:
            time.sleep(0.005)

    def sleeps(self, n: int) -> None:
        note("sleeps")
        time.sleep(n)

    def asks(self, n: int) -> None:
        note("asks")
        while not context.cancelled():
            time.sleep(0.005)
        note("cancelled")

    def dies(self, n: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def breeds(self, n: int) -> int:
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid

    def fails(self, n: int) -> None:
        raise Own("no half of a \ud83d character")

    def refuses(self, n: int) -> None:
        raise Unwilling("I am a teapot")

    def key(self, n: int) -> None:
        raise KeyError("name")

    def exits(self, n: int) -> None:
        sys.exit(3)

    def fills(self, n: int) -> None:
        raise OutOfMemoryError("CUDA out of memory")

    def hoards(self, n: int) -> int:
        return len(bytearray(n))

    def despairs(self, n: int) -> None:
        try:
            self.hoards(n)
        except MemoryError as error:
            raise Own("so many are not to be had") from error

    def judges(self, n: int) -> None:
        try:
            self.fills(n)
        except OutOfMemoryError as error:
            raise Unwilling("the picture is too large") from error

    def groups(self, n: int) -> None:
        raise BaseExceptionGroup("several", [KeyboardInterrupt()])

    def breaks(self, n: int) -> None:
        raise AcceleratorError("an illegal memory access was encountered")


class Waits(Pipeline):
    """Async code."""

    async def predict(self, n: int) -> int:
        note("waits")
        try:
            await asyncio.sleep(n)
        except asyncio.CancelledError:
            note("cancelled")
            raise
        return n


class Counts(Pipeline):
    """A generator."""

    def predict(self, n: int, wait_s: float = 0.0, fail_at: int = -1) -> Iterator[int]:
        try:
            for at in range(n):
                if at == fail_at:
                    raise Own("half way")
                note(f"item {at}")
                yield at
                wait_for("working")
                time.sleep(wait_s)
        finally:
            note("closed")


class CountsAsync(Pipeline):
    """An async generator."""

    async def predict(self, n: int, wait_s: float = 0.0, fail_at: int = -1) -> AsyncIterator[int]:
        try:
            for at in range(n):
                if at == fail_at:
                    raise Own("half way")
                note(f"item {at}")
                yield at
                while kept("working"):  # noqa: ASYNC110 - another process holds it
                    await asyncio.sleep(0.005)
                await asyncio.sleep(wait_s)
        finally:
            note("closed")


class FailsOnce(Works):
    """One process of several cannot be set up the first time."""

    def setup(self) -> None:
        try:
            (Path(os.environ["TEST_NOTES"]).parent / "first").mkdir()
        except FileExistsError:
            note("setup")
            return
        raise RuntimeError("the GPU is gone")


class SlowOnce(Works):
    """One process of several waits for the test."""

    def setup(self) -> None:
        try:
            (Path(os.environ["TEST_NOTES"]).parent / "first").mkdir()
        except FileExistsError:
            note("setup")
            return
        wait_for("starting")


class Slow(Works):
    """It says nothing while it waits for the test."""

    def setup(self) -> None:
        wait_for("starting")
        note("setup")


class LateOnce(Works):
    """One process of several is slow, and then cannot be made."""

    def __init__(self) -> None:
        try:
            (Path(os.environ["TEST_NOTES"]).parent / "first").mkdir()
        except FileExistsError:
            return
        wait_for("starting")
        raise TypeError("not made the first time")

    def setup(self) -> None:
        note("setup")


class Signed(Works):
    """Routes that need no instance."""

    router = APIRouter()


@Signed.router.get("/own/pid")
def pid() -> int:
    """Of the process that answers it."""
    return os.getpid()


class Routed(Works):
    """Its constructor makes a router."""

    def __init__(self) -> None:
        self.router = APIRouter()


class Sick(Works):
    """One of them is not well, once it was asked to."""

    def healthcheck(self) -> str | None:
        return getattr(self, "wrong", None)

    def sickens(self, n: int) -> None:
        self.wrong = "the weights are lost" if n else None


class Fails(Works):
    """None can be set up."""

    def setup(self) -> None:
        raise RuntimeError("no weights")


class Wrong(Pipeline):
    """It cannot be served."""

    def predict(self, *args: int) -> int:
        return 0
