"""/health through the life of a runner, and the end of the process."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from typing import TYPE_CHECKING

import aiohttp
import pytest

from livepeer.runner import Pipeline
from livepeer.runner.errors import PortInUse, SetupFailed
from livepeer.runner.testing import serve

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import time
from livepeer.runner import Pipeline, Settings, serve

class Sample(Pipeline):
    def setup(self):
        {setup}
    def predict(self, n: int) -> int:
        return n
    def teardown(self):
        print("torn down", flush=True)

settings = Settings(setup_failure_linger_s=0.5, stop_timeout_s=0.3)
serve(Sample(), host="127.0.0.1", port={port}, settings=settings)
"""


class Held(Pipeline):
    def __init__(self, error: Exception | None = None) -> None:
        self.go = threading.Event()
        self.error = error
        self.calls: list[str] = []

    def setup(self) -> None:
        self.calls.append("setup")
        assert self.go.wait(10)
        if self.error:
            raise self.error

    def predict(self) -> str:
        return "ok"

    def teardown(self) -> None:
        self.calls.append("teardown")


class AsyncHeld(Held):
    async def setup(self) -> None:  # type: ignore[override]
        while not self.go.is_set():  # noqa: ASYNC110 - one event for both kinds of hook
            await asyncio.sleep(0.005)
        self.calls.append("setup")

    async def teardown(self) -> None:  # type: ignore[override]
        self.calls.append("teardown")


async def get(url: str) -> tuple[int, object]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.json()


async def status(url: str) -> tuple[str, str | None]:
    answered, health = await get(url + "/health")
    assert answered == 200
    assert isinstance(health, dict)
    return health["status"], health.get("message")


async def call(url: str) -> tuple[int, object]:
    async with aiohttp.ClientSession() as session, session.post(url + "/predict") as response:
        return response.status, await response.json()


@pytest.mark.parametrize("kind", [Held, AsyncHeld])
async def test_loading_then_ok(kind: type[Held]):
    held = kind()
    async with serve(held, ready=False) as server:
        assert await status(server.url) == ("LOADING", None)
        code, answer = await call(server.url)
        assert code == 503
        assert "LOADING" in str(answer)
        held.go.set()
        await server.wait_ready()
        assert await status(server.url) == ("OK", None)
        assert await call(server.url) == (200, "ok")
        assert held.calls == ["setup"]
    assert held.calls == ["setup", "teardown"]


async def test_a_failed_setup_shows_and_then_is_over(caplog: pytest.LogCaptureFixture):
    held = Held(ValueError("no weights"))
    async with serve(held, ready=False, setup_failure_linger_s=0.2) as server:
        held.go.set()
        with pytest.raises(SetupFailed, match="ValueError"):
            await server.wait_ready()
        shown = ("ERROR", "setup() raised ValueError; the log says more")
        assert await status(server.url) == shown
        assert (await call(server.url))[0] == 503
        await asyncio.wait_for(server.wait_over(), 2)
    assert held.calls == ["setup"]  # what was not set up is not torn down
    errors = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "no weights" in caplog.text


async def test_a_taken_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=str(port)):
            async with serve(Held(), port=port):
                pass


def program(tmp_path: Path, setup: str, port: int) -> subprocess.Popen[str]:
    script = tmp_path / "pipeline.py"
    script.write_text(PROGRAM.format(setup=setup, port=port))
    return subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "LIVEPEER_LOG_FORMAT": "text"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def wait_until_ok(url: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with urllib.request.urlopen(url + "/health") as response:
            if json.load(response)["status"] == "OK":
                return
        time.sleep(0.01)
    raise AssertionError("not ready in time")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_well(number: signal.Signals, tmp_path: Path):
    with program(tmp_path, "pass", 0) as process:
        line = next_line(process)
        assert "Sample at http://127.0.0.1:" in line
        wait_until_ok(line.split(" at ")[1].split(" ")[0])
        # Told a moment after; a signal between the two would be told alone.
        assert next_line(process).endswith(": Sample is ready\n")
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "torn down\n")
    (stopping,) = err.splitlines()
    assert stopping.endswith(": stopping")


def test_a_signal_does_not_wait_for_a_long_setup(tmp_path: Path):
    began = time.monotonic()
    with program(tmp_path, "time.sleep(60)", 0) as process:
        next_line(process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 0
    assert time.monotonic() - began < 15


def test_a_failed_setup_ends_the_process_with_an_error(tmp_path: Path):
    with program(tmp_path, "raise ValueError('no weights')", 0) as process:
        _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert err.count("ValueError: no weights\n") == 1


def test_a_taken_port_is_one_line(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with program(tmp_path, "pass", port) as process:
            _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert err.startswith(f"error: port {port} on 127.0.0.1 is in use")
    assert err.count("\n") == 1
