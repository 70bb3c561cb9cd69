"""`livepeer stream`, as a process of its own where it has a network."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import pytest
import typer
from typer.testing import CliRunner

from livepeer.client.cli.stream import stream
from livepeer.client.media.pattern import pattern_number
from livepeer.client.testing import FakeCapability, fake_orchestrator

from .echo import LIMIT_S, Echo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from livepeer.client.testing import FakeOrchestrator


@dataclass(frozen=True)
class Finished:
    status: int | None
    out: str
    err: str


@pytest.fixture
async def nodes() -> AsyncIterator[list[FakeOrchestrator]]:
    """Two orchestrators."""
    async with fake_orchestrator({}) as one, fake_orchestrator({}) as other, Echo() as echo:
        one.capabilities["echo"] = other.capabilities["echo"] = FakeCapability(echo)
        yield [one, other]


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "livepeer.cli", "stream", "echo", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        process_group=0,
    )


async def finish(process: asyncio.subprocess.Process) -> Finished:
    try:
        async with asyncio.timeout(2 * LIMIT_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return Finished(process.returncode, out.decode(), err.decode())


def kept(folder: Path) -> int:
    """The bytes that are kept beside a recording while it runs."""
    return sum(path.stat().st_size for path in folder.glob(".*.ts"))


async def until_kept(folder: Path, size: int, process: asyncio.subprocess.Process) -> None:
    """Wait until so much has come out."""
    async with asyncio.timeout(2 * LIMIT_S):
        while kept(folder) < size:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.05)
    assert process.returncode is None


def numbers(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        return [pattern_number(frame.to_ndarray(format="rgb24")) for frame in frames]


async def test_a_test_picture_for_a_second_at_a_price(
    nodes: list[FakeOrchestrator], tmp_path: Path
) -> None:
    target, key = tmp_path / "out.mp4", tmp_path / "key.txt"
    key.write_text("5c" * 32)
    nodes[0].capabilities["echo"].price = 10
    process = await start(
        *("--key-file", str(key), "--max-price", "10", "--max-spend", "100000"),
        *("--orchestrator", nodes[0].url, "--input", "test", "--size", "192x108", "--fps", "20"),
        *("--duration", "1", "--output", str(target), "--json", "--params", '{"a": 1}'),
    )
    finished = await finish(process)
    assert finished.status == 0, finished.err
    told = json.loads(finished.out)
    assert (told["frames_in"], told["frames_out"], told["dropped"]) == (20, 20, 0)
    assert (told["errors"], told["reconnects"], told["recorded"]) == ([], [], str(target))
    assert "20 frames in, 20 out, 0 dropped" in finished.err
    paid = sum(payment.value for payment in nodes[0].payments)
    assert 0 <= told["paid"] - paid <= len(nodes[0].payments)
    assert paid >= 600
    assert f"paid: {told['paid']} wei\n" in finished.err
    assert numbers(target) == list(range(20))
    start_ = next(seen for seen in nodes[0].seen if seen.path == "/ai/stream/start")
    assert json.loads(start_.body) == {"params": {"a": 1}}


async def test_an_orchestrator_that_is_lost_and_ctrl_c(
    nodes: list[FakeOrchestrator], tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    process = await start(
        *("--orchestrator", nodes[0].url, "--orchestrator", nodes[1].url, "--reconnect"),
        *("--input", "test", "--size", "192x108", "--output", str(target), "--json"),
    )
    await until_kept(tmp_path, 5000, process)
    await nodes[0].kill()
    # More than was on its way.
    await until_kept(tmp_path, kept(tmp_path) + 30_000, process)
    process.send_signal(signal.SIGINT)
    finished = await finish(process)
    assert finished.status == 0, finished.err
    (gap,) = json.loads(finished.out)["reconnects"]
    assert (gap["from_url"], gap["to_url"]) == (nodes[0].url, nodes[1].url)
    assert f"reconnected to {nodes[1].url} after" in finished.err
    seen = numbers(target)
    assert seen == sorted(set(seen))
    assert kept(tmp_path) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_file_that_is_terminated_leaves_no_stream_behind(
    nodes: list[FakeOrchestrator], tmp_path: Path, number: signal.Signals
) -> None:
    with av.open(str(tmp_path / "in.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width, stream.height = 64, 64
        for _ in range(60):
            container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode())
    process = await start(
        *("--orchestrator", nodes[0].url, "--input", str(tmp_path / "in.mp4")),
        *("--output", str(tmp_path / "out.mp4")),
    )
    async with asyncio.timeout(2 * LIMIT_S):
        while not nodes[0].streams:  # noqa: ASYNC110 - another process starts it
            await asyncio.sleep(0.02)
    process.send_signal(number)
    finished = await finish(process)
    assert finished.status == 128 + number, finished.err
    assert not nodes[0].streams
    assert os.listdir(tmp_path) == ["in.mp4"]
    assert "lost" not in finished.err
    assert finished.err.endswith(f"interrupted: {tmp_path / 'out.mp4'} was not written\n")


async def test_a_recording_without_room_names_its_file_and_leaves_nothing(
    nodes: list[FakeOrchestrator], tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    limited = (
        "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000));"
        " runpy.run_module('livepeer.cli', run_name='__main__')"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-B", "-c", limited, "stream", "echo", "--input", "test"),
        *("--duration", "3", "--output", str(target), "--orchestrator", nodes[0].url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    finished = await finish(process)
    assert finished.status == 1, finished.err
    # Before it may stand how far it was.
    assert finished.err.splitlines()[-1] == f"error: [Errno 27] File too large: '{target}'"
    assert os.listdir(tmp_path) == []
    assert not nodes[0].streams


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ("--input test", 2, "nothing names an orchestrator|give .*gateway"),
        ("--input test --gateway http://x --orchestrator http://y", 2, "gateway"),
        ("--input test --size 10 --gateway http://x", 2, "--size is '10': write it as 1280x720"),
        ("--input test --fps 0.1 --gateway http://x", 2, "--fps is 0.1: it is from 1 to 240"),
        ("--input in.mp4 --fps 5 --gateway http://x", 2, "are for webcam and test"),
        ("--input a.mp4 --output a.mp4 --gateway http://x", 2, "must not be the input file"),
        ("--input a.mp4 --fast --live --gateway http://x", 2, "exclude each other"),
        ("--input a.mp4 --params [] --gateway http://x", 2, "must be a JSON object"),
        ("--input nothing.mp4 --gateway http://x", 2, "there is no file nothing.mp4"),
        ("--input webcam: --gateway http://x", 2, "lacks the camera's number or name"),
        ("--input test --output player:foo --gateway http://x", 2, "player:ffplay, :mpv or :vlc"),
        ("--input test --output player: --gateway http://x", 2, "player:ffplay, :mpv or :vlc"),
        ("--input test --output no/out.ts --gateway http://x", 2, "there is no folder no"),
        ("--input test --size 99999x99999 --gateway http://x", 2, "it is up to 8192x4320"),
        ("--input webcam:63 --gateway http://x", 1, "there is no camera /dev/video63: connect one"),
        ("--input test --output player --gateway http://x", 1, "there is no player"),
        ("--input test --size 20x20 --gateway http://x", 2, "a test picture of 20x20 is too small"),
        ("--input test --output out.xyz --gateway http://x", 2, "its suffix names no container"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: str, status: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("in.mp4", "a.mp4"):
        (tmp_path / name).touch()
    app = typer.Typer()
    app.command()(stream)
    result = CliRunner().invoke(app, ["echo", *arguments.split()])
    assert result.exit_code == status, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert re.search(said, line), line
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "in.mp4"]
