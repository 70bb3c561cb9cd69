"""What a runner's log looks like, and which stream a line is about."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import aiohttp
import av
import numpy as np
import pytest
from aiohttp import web

from livepeer.runner import Settings
from livepeer.runner._logs import STREAM_ID, configure, logged_as
from livepeer.runner.errors import SettingsError
from livepeer.runner.frames import VideoFrame
from livepeer.runner.settings import load_settings
from livepeer.trickle import TricklePublisher, TrickleServer
from livepeer.trickle.media import TIME_BASE, Segmenter, VideoEncoder
from livepeer.trickle.testing import serve as serve_app

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

log = logging.getLogger("author")


@pytest.fixture
def bare() -> Generator[Callable[[], None]]:
    """Call it to have a root logger that nobody has set up, as a program finds it."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    # Within the test, because pytest's own handlers are added after the fixtures.
    yield root.handlers.clear
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


def test_text_has_time_level_logger_and_stream(
    bare: Callable[[], None], capsys: pytest.CaptureFixture[str]
):
    bare()
    configure(Settings(log_format="text"))
    log.info("hello %s", "there")
    with logged_as("stream-1"):
        log.warning("slow")
    log.debug("too much")
    plain, about = capsys.readouterr().err.splitlines()
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    assert re.fullmatch(rf"{time} INFO author: hello there", plain)
    assert re.fullmatch(rf"{time} WARNING author: \[stream-1\] slow", about)


def test_json_has_an_object_a_line(bare: Callable[[], None], capsys: pytest.CaptureFixture[str]):
    bare()
    configure(Settings(log_format="json"))
    with logged_as("stream-1"):
        log.info("two\nlines", extra={"step": 3})
        try:
            raise ValueError("no")
        except ValueError:
            log.exception("it failed")
    log.info("elsewhere")
    first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", first.pop("timestamp"))
    assert first == {
        "level": "INFO",
        "logger": "author",
        "message": "two\nlines",
        "stream_id": "stream-1",
        "step": 3,
    }
    assert second["exc_info"].startswith("Traceback")
    assert second["exc_info"].endswith("ValueError: no")
    assert (third["message"], third["stream_id"]) == ("elsewhere", None)


@pytest.mark.filterwarnings("default")
def test_json_takes_warnings_in(bare: Callable[[], None], capsys: pytest.CaptureFixture[str]):
    bare()
    import warnings

    configure(Settings(log_format="json"))
    warnings.warn("old", DeprecationWarning, stacklevel=1)
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert line["logger"] == "py.warnings"
    assert "DeprecationWarning: old" in line["message"]


def test_a_line_may_name_a_stream_of_its_own(
    bare: Callable[[], None], capsys: pytest.CaptureFixture[str]
):
    bare()
    configure(Settings(log_format="text"))
    with logged_as("stream-1"):
        log.info("hello", extra={"stream_id": "stream-2"})
    assert "[stream-2] hello" in capsys.readouterr().err


def test_a_stream_cannot_forge_a_line(bare: Callable[[], None], capsys: pytest.CaptureFixture[str]):
    bare()
    configure(Settings(log_format="text"))
    with logged_as("x]\n2026-01-01 INFO author: all is well" + "y" * 1000):
        log.info("hello")
    (line,) = capsys.readouterr().err.splitlines()
    assert len(line) < 200


@contextmanager
def terminal() -> Generator[int]:
    """Standard error is a terminal; its other end."""
    far, near = os.openpty()
    os.set_blocking(far, False)
    with open(near, "w") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        try:
            yield far
        finally:
            logging.getLogger().handlers[:] = []
    os.close(far)


def test_auto_is_text_on_a_terminal_and_json_elsewhere(
    bare: Callable[[], None], capsys: pytest.CaptureFixture[str]
):
    bare()
    with terminal() as far:
        configure(Settings(log_format="auto"))
        log.info("hello")
        assert b"INFO author: hello" in os.read(far, 1000)
    configure(Settings(log_format="auto"))
    log.info("hello")
    assert json.loads(capsys.readouterr().err)["message"] == "hello"


def test_what_a_program_set_up_is_kept(
    bare: Callable[[], None], capsys: pytest.CaptureFixture[str]
):
    bare()
    logging.basicConfig(level=logging.ERROR, format="mine %(stream_id)s %(message)s")
    configure(Settings())
    log.warning("not wanted")
    with logged_as("stream-1"):
        log.error("wanted")
    assert capsys.readouterr().err == "mine stream-1 wanted\n"


def test_a_setting_wins_over_the_console_of_a_program_and_over_nothing_else(
    bare: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    bare()
    logging.basicConfig(level=logging.ERROR, format="mine %(message)s")
    to_file = logging.FileHandler(tmp_path / "log")
    logging.getLogger().addHandler(to_file)
    monkeypatch.setenv("LIVEPEER_LOG_FORMAT", "JSON")
    monkeypatch.setenv("LIVEPEER_LOG_LEVEL", "INFO")
    configure(load_settings())
    log.info("hello")
    to_file.close()
    assert json.loads(capsys.readouterr().err)["message"] == "hello"
    assert (tmp_path / "log").read_text() == "hello\n"


def test_twice_is_once(bare: Callable[[], None], capsys: pytest.CaptureFixture[str]):
    bare()
    configure(Settings(log_format="json"))
    configure(Settings(log_format="text", log_level="warning"))
    log.info("not wanted")
    log.warning("hello")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("WARNING author: hello")


@pytest.mark.parametrize("name", ["log_format", "log_level"])
def test_a_wrong_setting_is_named(name: str):
    with pytest.raises(SettingsError, match=name):
        load_settings(**{name: "xml"})


async def test_the_stream_goes_with_tasks_and_copied_contexts_and_no_further():
    seen: dict[str, str | None] = {}

    async def task() -> None:
        seen["task"] = STREAM_ID.get()
        seen["to_thread"] = await asyncio.to_thread(STREAM_ID.get)

    def note(name: str) -> None:
        seen[name] = STREAM_ID.get()

    with logged_as("stream-1"):
        running = asyncio.create_task(task())
        run = copy_context().run
        thread = threading.Thread(target=run, args=(note, "thread"))
        thread.start()
    note("outside")
    await running
    thread.join()
    inside = {"task": "stream-1", "to_thread": "stream-1", "thread": "stream-1"}
    assert seen == {**inside, "outside": None}


PROGRAM = """
import asyncio, logging
from livepeer.runner import LivePipeline, serve

log = logging.getLogger("author")

class Talker(LivePipeline):
    def setup(self):
        log.info("setup")
    def on_stream_start(self, params):
        log.info("start")
    async def process_video(self, frame):
        log.info("frame")
        if frame.pts == 0:
            raise ValueError("not the first one")
        await asyncio.to_thread(log.info, "thread")
        return frame
    def on_stream_stop(self):
        log.info("stop")
    def teardown(self):
        log.info("teardown")

serve(Talker(), host="127.0.0.1", port=0)
"""


class Program:
    """A runner that is a process of its own, and the lines of its log so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[dict[str, Any]] = []
        self._process = process
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    async def line(self, part: str) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while not (found := self._with(part)):  # noqa: ASYNC110 - a thread reads them
                await asyncio.sleep(0.02)
        return found[0]

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        self._reader.join(30)

    def _with(self, part: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if part in line["message"]]

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(json.loads(line))


@contextmanager
def program(tmp_path: Path, **environment: str) -> Generator[Program]:
    path = tmp_path / "talker.py"
    path.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(path)],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        running = Program(process)
        try:
            yield running
        finally:
            process.kill()


def clip(frames: int) -> bytes:
    encoder, segmenter = VideoEncoder(), Segmenter({"video": "h264"})
    body = b""
    for n in range(frames):
        raw = av.VideoFrame.from_ndarray(np.full((90, 160, 3), n, np.uint8), format="rgb24")
        raw.pts, raw.time_base = n * 3600, TIME_BASE
        body += b"".join(segmenter.add(unit).data for unit in encoder.encode(VideoFrame(raw)))
    return body


async def stream(runner: str, name: str, until: Program) -> None:
    trickle, app = TrickleServer(), web.Application()
    trickle.add_routes(app, "/t")
    async with serve_app(app) as base, aiohttp.ClientSession() as http:
        url = f"{base}/t/{name}"
        for channel in ("", "-out", "-control", "-events"):
            trickle.create_channel(name + channel)
        body = {
            "gateway_request_id": name,
            "control_url": f"{url}-control",
            "events_url": f"{url}-events",
            "subscribe_url": url,
            "publish_url": f"{url}-out",
        }
        async with http.post(f"{runner}/stream/start", json=body) as response:
            assert response.status == 200, await response.text()
        publisher = TricklePublisher(url)
        segment = await publisher.open_segment()
        await segment.write(clip(5))
        await segment.close()
        await until.line("thread")
        await until.line("segments 1 in")
        await until.line("dropped 1 hook_error")
        await publisher.close()  # not before: a closed channel forgets what was not read
        headers = {"X-Stream-Id": name}
        async with http.post(f"{runner}/stream/stop", headers=headers) as response:
            assert response.status == 200


async def test_every_line_of_a_session_names_its_stream(tmp_path: Path):
    settings = {"LIVEPEER_LOG_FORMAT": "json", "LIVEPEER_STATS_LOG_INTERVAL_S": "0.1"}
    with program(tmp_path, **settings) as runner:
        url = (await runner.line(" at http"))["message"].split(" at ")[1].split(" ")[0]
        await runner.line("setup")
        await stream(url, "stream-1", runner)
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as garbage:
            garbage.sendall(b"no such thing\r\n\r\n")
            await runner.line("Invalid HTTP request")
        await asyncio.to_thread(runner.end)

    def streams(*messages: str) -> set[str | None]:
        return {line["stream_id"] for line in runner.lines if line["message"] in messages}

    assert streams("start", "frame", "thread", "stop") == {"stream-1"}
    assert streams("setup", "teardown") == {None}
    session = [line for line in runner.lines if line["logger"].startswith("livepeer.runner._live")]
    assert {line["stream_id"] for line in session} == {"stream-1"}
    assert (await runner.line("Invalid HTTP request"))["logger"] == "uvicorn.error"
    (failed,) = [line for line in session if line["level"] == "ERROR"]
    assert "ValueError: not the first one" in failed["exc_info"]
    assert (await runner.line("dropped 1 hook_error"))["stream_id"] == "stream-1"
