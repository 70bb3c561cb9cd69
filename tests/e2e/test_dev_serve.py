"""`livepeer dev` until Ctrl-C: what it prints works, and nothing of it stays."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .command import (
    ANY_PORTS,
    CLIP,
    GRAYSCALE,
    HELLO_WORLD,
    TEXT_REVERSAL,
    Finished,
    finish,
    start,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STOP_S = 15.0
_LIMIT_S = 60.0


class _Serving:
    """A `livepeer dev` that has said what it serves."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        assert process.stderr is not None
        for line in process.stderr:
            self.said += line
            if line.startswith("Ctrl-C"):
                break

    @property
    def ports(self) -> list[int]:
        found = re.findall(r"^  (?:runner|orchestrator|gateway) +\S+:(\d+)", self.said, re.M)
        return [int(port) for port in found]

    def command(self, name: str) -> list[str]:
        """The call to paste that begins with this word, without the `uv run` of a checkout."""
        lines = [line.strip().removeprefix("uv run ") for line in self.said.splitlines()]
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        return shlex.split(line)

    def interrupt(self, send: Callable[[int, int], None] = os.kill) -> Finished:
        send(self.process.pid, signal.SIGINT)
        return finish(self.process, _STOP_S)


@contextmanager
def _serving(path: Path, *options: str) -> Iterator[_Serving]:
    process = start("dev", path, *ANY_PORTS, *options)
    try:
        yield _Serving(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _paste(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    scripts = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    program = shutil.which(command[0], path=scripts)
    assert program, f"{command[0]} is not on this machine"
    return subprocess.run(
        [program, *command[1:]],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )


def _assert_free(ports: list[int]) -> None:
    assert len(set(ports)) == 3
    for port in ports:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            sock.listen()


@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_a_batch_pipeline_is_served_until_ctrl_c(
    tmp_path: Path, send: Callable[[int, int], None]
) -> None:
    with _serving(HELLO_WORLD) as serving:
        called = _paste(serving.command("livepeer"), tmp_path)
        curled = _paste(serving.command("curl"), tmp_path)
        finished = serving.interrupt(send)

    assert (called.returncode, called.stdout) == (0, '"Hello, World!"\n'), called.stderr
    assert (curled.returncode, curled.stdout) == (0, '"Hello, World!"'), curled.stderr
    assert finished.status == 0, finished.err
    assert finished.out == ""
    assert "Traceback" not in finished.err
    _assert_free(serving.ports)


_FILES = """
from livepeer.runner import Pipeline
from livepeer.runner.files import ContentType, File
from typing import Annotated

class Doubled(Pipeline):
    def predict(self, data: File, name: str, n: int) -> Annotated[bytes, ContentType("a/b")]:
        return data.read() * n
"""


def test_a_pipeline_of_files_is_called_with_a_file(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text(_FILES)
    (tmp_path / "FILE").write_bytes(b"\x00\xff")

    answers: list[bytes] = []
    with _serving(tmp_path) as serving:
        for program in ("livepeer", "curl"):
            pasted = _paste(serving.command(program), tmp_path)
            assert pasted.returncode == 0, pasted.stderr
            answers.append((tmp_path / "OUT").read_bytes())
            (tmp_path / "OUT").unlink()
        finished = serving.interrupt()

    assert answers == [b"\x00\xff"] * 2, "n is 1 in the sample"
    assert finished.status == 0, finished.err


def test_a_live_pipeline_is_served_until_ctrl_c(tmp_path: Path) -> None:
    shutil.copy(CLIP, tmp_path / "in.mp4")

    with _serving(GRAYSCALE) as serving:
        streamed = _paste([*serving.command("livepeer"), "--fast"], tmp_path)
        finished = serving.interrupt()

    assert streamed.returncode == 0, streamed.stderr
    assert "132 frames in, 132 out, 0 dropped" in streamed.stderr
    assert (tmp_path / "out.mp4").stat().st_size
    assert finished.status == 0, finished.err
    assert "Traceback" not in finished.err
    _assert_free(serving.ports)


@pytest.mark.parametrize("price", [0, 7])
def test_a_pipeline_of_texts_alone_is_given_one(tmp_path: Path, price: int) -> None:
    with _serving(TEXT_REVERSAL, *(("--price", str(price)) if price else ())) as serving:
        updated = _paste(serving.command("python"), tmp_path)

    assert (updated.returncode, updated.stdout) == (0, "{'number': 1, 'text': 'txet'}\n"), (
        updated.stderr
    )
    assert "in.mp4" not in serving.said
    assert (f"max_spend={price * 3600}" in serving.said) == bool(price)


@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_ctrl_c_ends_a_transfer(tmp_path: Path, send: Callable[[int, int], None]) -> None:
    process = start("dev", GRAYSCALE, "--input", CLIP, "--output", "gray.mp4", cwd=tmp_path)
    limit = time.monotonic() + _LIMIT_S
    # Its raw bytes lie beside the recording while it runs.
    while not any(path.stat().st_size for path in tmp_path.glob(".gray.mp4.*.ts")):
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.05)

    send(process.pid, signal.SIGINT)
    finished = finish(process, _STOP_S)

    assert finished.status == 130, finished.err
    assert finished.out == ""
    assert "Traceback" not in finished.err
    assert [path.name for path in tmp_path.iterdir() if path.name != "gray.mp4"] == []
