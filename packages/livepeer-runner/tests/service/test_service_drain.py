"""The end of a runner: in good order at the first signal, at once at the second."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

PROGRAM = """
import asyncio, os, sys, time
from livepeer.runner import Pipeline, serve

class Sample(Pipeline):
    def predict(self, seconds: float = 0, held_by: str = "") -> str:
        time.sleep(seconds)
        while held_by and os.path.exists(held_by):
            time.sleep(0.005)
        return "done"
    def teardown(self):
        print("torn down", flush=True)

class Blocking(Pipeline):
    async def predict(self) -> str:
        print("blocked", flush=True)
        time.sleep(60)
        return "never"

class Stream(Pipeline):
    def predict(self, n: int):
        for i in range(n):
            time.sleep(0.05)
            yield i

class Stuck(Sample):
    def predict(self) -> str:
        print("stuck", flush=True)
        time.sleep(600)
        return "never"

class StuckStream(Sample):
    def predict(self):
        yield 0
        print("stuck", flush=True)
        time.sleep(600)
        yield 1

serve({kind})
"""


class Orchestrator(BaseHTTPRequestHandler):
    """Writes down what it is told, and takes its time for a goodbye."""

    told: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.told.append(self.path.rsplit("/", 1)[1])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def orchestrator() -> Generator[tuple[str, list[str]]]:
    kind = type("Kind", (Orchestrator,), {"told": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", kind.told
        server.shutdown()


class Program:
    """A process that serves, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        self.url = ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        assert self.process.stderr is not None
        while not (found := re.search(pattern, self.said)):
            line = self.process.stderr.readline()
            assert line, self.said
            self.said += line
        return found

    def ask(self, path: str, body: object = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(self.url + path, data, timeout=20) as response:
                text = response.read()
                return response.status, json.loads(text) if text[:1] in b'{["' else text
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def until_ready(self) -> None:
        deadline = time.monotonic() + 20
        while self.ask("/ready")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def until_running(self, count: int) -> None:
        deadline = time.monotonic() + 20
        while self.ask("/health")[1]["load"]["running"] != count:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def end(self, timeout_s: float = 20) -> tuple[int, str]:
        out, err = self.process.communicate(timeout=timeout_s)
        self.said += err
        return self.process.returncode, out


@contextmanager
def running(tmp_path: Path, kind: str = "Sample", **settings: str) -> Generator[Program]:
    script = tmp_path / "pipeline.py"
    script.write_text(PROGRAM.format(kind=kind))
    environment = {
        **os.environ,
        "LIVEPEER_HOST": "127.0.0.1",
        "LIVEPEER_PORT": "0",
        "LIVEPEER_LOG_FORMAT": "text",
        "LIVEPEER_STOP_TIMEOUT_S": "0.5",
        **{f"LIVEPEER_{name.upper()}": value for name, value in settings.items()},
    }
    with subprocess.Popen(
        [sys.executable, str(script)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        program = Program(process)
        try:
            program.url = program.wait_for(r" at (http://\S+)")[1]
            program.until_ready()
            yield program
        finally:
            process.kill()


class Call(threading.Thread):
    """A call of `/predict` on its way."""

    def __init__(self, program: Program, body: object) -> None:
        super().__init__()
        self._program, self._body = program, body
        self.answer: object = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self._program.ask("/predict", self._body)
        except OSError as error:  # the process is gone
            self.answer = error


def test_a_drain_withdraws_refuses_finishes_and_ends_well(tmp_path: Path):
    token = tmp_path / "token"
    with orchestrator() as (url, told):
        options = {"orch_url": url, "token_file": str(token), "capability_token": "false"}
        with running(tmp_path, **options, concurrency="2") as program:
            program.wait_for("registered sample")
            held = tmp_path / "held"
            held.touch()
            call = Call(program, {"held_by": str(held)})
            program.until_running(1)
            program.process.send_signal(signal.SIGTERM)
            program.wait_for("unregistered sample")
            assert "Sample is ready" in program.said
            assert "stopping; 1 call is finished first" in program.said
            # It listens on, to say so.
            status, answer = program.ask("/predict", {})
            assert (status, answer["detail"]) == (503, "the runner is ending")
            assert program.ask("/ready")[0] == 503
            health = program.ask("/health")[1]
            assert health["message"] == "ending: what runs is finished, and nothing new begins"
            assert (health["registration"], health["load"]["running"]) == ("withdrawn", 1)
            assert told == ["register", "unregister"]
            held.unlink()
            call.join()
            assert call.answer == (200, "done")
            assert program.end() == (0, "torn down\n")
        assert told == ["register", "unregister"]


def test_a_stream_is_finished_too(tmp_path: Path):
    with running(tmp_path, "Stream") as program:
        call = Call(program, {"n": 20})
        program.until_running(1)
        program.process.send_signal(signal.SIGTERM)
        call.join()
        assert isinstance(call.answer, tuple)
        status, body = call.answer
        assert status == 200
        assert body.count(b"data: ") == 21
        assert body.endswith(b"data: [DONE]\n\n")
        assert program.end()[0] == 0


def test_a_drain_has_a_limit(tmp_path: Path):
    with running(tmp_path, drain_timeout_s="1", teardown_timeout_s="0.5") as program:
        call = Call(program, {"seconds": 60})
        program.until_running(1)
        began = time.monotonic()
        program.process.send_signal(signal.SIGTERM)
        status, _ = program.end()
        call.join()
    assert status == 0
    assert time.monotonic() - began < 20
    assert "1 call still runs after 1 s, and is cut" in program.said
    assert isinstance(call.answer, tuple)
    assert (call.answer[0], call.answer[1]["type"]) == (503, "PipelineNotReady")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("kind", ["Stuck", "StuckStream"])
def test_what_cannot_be_cut_is_left_without_teardown(tmp_path: Path, kind: str, workers: str):
    limits = {"drain_timeout_s": "0", "teardown_timeout_s": "60"}
    with running(tmp_path, kind, workers=workers, **limits) as program:
        call = Call(program, {})
        assert program.process.stdout is not None
        assert program.process.stdout.readline() == "stuck\n"
        program.process.send_signal(signal.SIGTERM)
        status, out = program.end(30)  # and not when `teardown()` has had its time
        call.join()
    assert status == 0
    assert "teardown() is not run: 1 of the calls that were cut still run" in program.said
    assert out.count("torn down") == int(workers) - 1, "a process without a call has its own"
    assert "Traceback" not in program.said
    assert isinstance(call.answer, tuple)
    assert "the runner is stopping" in str(call.answer[1])


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once_and_leaves_no_token(tmp_path: Path, second: signal.Signals):
    token = tmp_path / "secret" / "token"
    token.parent.mkdir()
    with (
        orchestrator() as (url, _),
        running(tmp_path, orch_url=url, token_file=str(token)) as program,
    ):
        program.wait_for("callers need the bearer token in (.*)")
        bearer = {"Authorization": f"Bearer {token.read_text().strip()}"}
        request = urllib.request.Request(program.url + "/predict", b'{"seconds": 60}', bearer)
        threading.Thread(target=_ignoring_errors, args=(request,), daemon=True).start()
        program.until_running(1)
        program.process.send_signal(signal.SIGTERM)
        program.wait_for("unregistered")
        began = time.monotonic()
        program.process.send_signal(second)
        status, _ = program.end()
        assert time.monotonic() - began < 20, "not when the call has ended"
        assert status == 128 + second
        assert list(token.parent.iterdir()) == []
    assert "a second signal: ending at once" in program.said


def test_a_loop_that_is_blocked_is_no_shelter(tmp_path: Path):
    with running(tmp_path, "Blocking") as program:
        call = Call(program, {})
        assert program.process.stdout is not None
        assert program.process.stdout.readline() == "blocked\n"
        program.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert program.process.poll() is None
        deadline = time.monotonic() + 20
        while program.process.poll() is None and time.monotonic() < deadline:
            program.process.send_signal(signal.SIGTERM)  # two that come together are one
            time.sleep(0.05)
        assert program.end()[0] == 128 + signal.SIGTERM
        call.join()


def _ignoring_errors(request: urllib.request.Request) -> None:
    try:
        with urllib.request.urlopen(request, timeout=20):
            pass
    except OSError:
        pass
