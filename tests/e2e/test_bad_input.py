"""Mistakes: one clear line, a status that is not 0, and nothing left behind."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from .clips import Pictures, Sound, write
from .command import ANY_PORTS, CLIP, GRAYSCALE, HELLO_WORLD, REPOSITORY, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BATCH = "from livepeer.runner import Pipeline\n"
_SETUP = """
class Broken(Pipeline):
    def setup(self):
        raise RuntimeError("no weights")

    def predict(self) -> str:
        return ""
"""
_PREDICT = """
class Raises(Pipeline):
    def predict(self) -> str:
        raise RuntimeError("out of memory")
"""
_LIVE_SETUP = """
from livepeer.runner import LivePipeline

class Broken(LivePipeline):
    def setup(self):
        raise RuntimeError("no weights")
"""
_START = """
from livepeer.runner import LivePipeline

class Broken(LivePipeline):
    def on_stream_start(self, params):
        raise ValueError("no such style")

    def process_video(self, frame):
        return frame
"""
_UNSERVABLE = """
class Unservable(Pipeline):
    def predict(self, *names: str) -> str:
        return ""
"""


def _fails(folder: Path, *arguments: str | Path, status: int = 1) -> str:
    """Run `livepeer dev` in a folder; the line that says what was wrong."""
    before = sorted(folder.rglob("*"))
    finished = run("dev", *arguments, cwd=folder, limit_s=30)
    assert finished.status == status, finished.err
    assert finished.out == ""
    assert sorted(folder.rglob("*")) == before
    return finished.error()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1\n", "has no pipeline: derive a class from livepeer.runner.Pipeline"),
        (_BATCH + "class Empty(Pipeline):\n    pass\n", "Empty in {path} has no predict()"),
        ("class Broken(\n", "{path} does not load, line 1: SyntaxError: '(' was never closed"),
        ("x = 1\nimport nothing_of_that_name\n", "{path} does not load, line 2: ModuleNotFound"),
        ("from livepeer.runner import Pipelin\n", "{path} does not load, line 1: ImportError"),
        (_BATCH + "1 / 0\n", "{path} does not load, line 2: ZeroDivisionError"),
        (_BATCH + "raise SystemExit(0)\n", "{path} does not load, line 2: SystemExit"),
        (_BATCH + _UNSERVABLE, "names"),
    ],
    ids=["no class", "no predict", "syntax", "import", "name", "error", "exit", "signature"],
)
def test_a_pipeline_that_is_wrong(tmp_path: Path, code: str, said: str) -> None:
    (tmp_path / "pipeline.py").write_text(code)

    error = _fails(tmp_path, tmp_path, *ANY_PORTS)

    assert said.format(path=tmp_path / "pipeline.py") in error


@pytest.mark.parametrize("code", [_BATCH + _SETUP, _LIVE_SETUP])
def test_a_setup_that_raises(tmp_path: Path, code: str) -> None:
    (tmp_path / "pipeline.py").write_text(code)

    finished = run("dev", tmp_path, *ANY_PORTS, cwd=tmp_path, limit_s=30)

    assert finished.status == 1
    errors = [line for line in finished.err.splitlines() if line.startswith("error: ")]
    assert errors == ["error: setup() raised RuntimeError: no weights"]
    # The one place where the author needs the whole stack: it may begin in any library.
    assert f"{tmp_path / 'pipeline.py'}" in finished.err


@pytest.mark.parametrize("name", ["nothing", "nothing.py", ".", "text.txt", "pipeline.py:Other"])
def test_a_path_that_leads_to_no_pipeline(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.txt").write_text("hello")
    if "Other" in name:
        (tmp_path / "pipeline.py").write_text(_BATCH)

    error = _fails(tmp_path, name, *ANY_PORTS)

    assert name.partition(":")[0] in error


def test_a_hook_that_refuses_the_stream(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text(_START)

    error = _fails(tmp_path, tmp_path, "--input", CLIP, "--output", "out.mp4")

    assert "Broken.on_stream_start() raised ValueError: no such style" in error


@pytest.mark.parametrize(
    ("name", "content", "status", "said"),
    [
        ("missing.mp4", None, 2, "there is no file missing.mp4"),
        ("README.md", (REPOSITORY / "LICENSE").read_bytes(), 1, "README.md is not a media file"),
        ("empty.mp4", b"", 1, "empty.mp4 is not a media file"),
        ("noise.ts", b"\x47" + bytes(187) * 100, 1, "noise.ts"),
    ],
)
def test_an_input_that_is_no_media(
    tmp_path: Path, name: str, content: bytes | None, status: int, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    error = _fails(tmp_path, GRAYSCALE, "--input", name, "--output", "out.mp4", status=status)

    assert said in error


@pytest.mark.parametrize(
    ("output", "status", "said"),
    [
        ("out.xyz", 2, "its suffix names no container"),
        ("nowhere/out.mp4", 2, "there is no folder nowhere"),
        ("out.wav", 1, "out.wav cannot"),
    ],
)
def test_an_output_that_cannot_be_written(
    tmp_path: Path, output: str, status: int, said: str
) -> None:
    write(tmp_path / "clip.mp4", Pictures(seconds=0.4), Sound(spans=((0.0, 0.4),)))

    arguments = ("--input", "clip.mp4", "--output", output, "--fast")
    error = _fails(tmp_path, GRAYSCALE, *arguments, status=status)

    assert said in error


def test_the_input_is_not_written_over(tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4", Pictures(seconds=0.4), None)
    before = clip.read_bytes()

    error = _fails(tmp_path, GRAYSCALE, "--input", clip, "--output", "clip.mp4", status=2)

    assert error == "--output must not be the input file"
    assert clip.read_bytes() == before


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


@pytest.mark.parametrize("option", ["--port", "--orchestrator-port", "--gateway-port"])
def test_a_port_in_use(tmp_path: Path, option: str, taken_port: int) -> None:
    ports = {"--port": "0", "--orchestrator-port": "0", "--gateway-port": "0"}
    ports[option] = str(taken_port)

    error = _fails(tmp_path, HELLO_WORLD, *(word for pair in ports.items() for word in pair))

    assert error.startswith(f"{option}: port {taken_port} on 127.0.0.1 is in use")


@pytest.mark.parametrize(
    ("payload", "status", "said"),
    [
        ('{"nope": 1}', 1, "nope: Extra inputs are not permitted"),
        ('{"name": 1}', 1, "name: Input should be a valid string"),
        ("{name}", 2, "--call is no JSON"),
        ("[1, 2]", 1, "Input should be an object"),
        ("@missing.json", 2, "missing.json"),
    ],
)
def test_a_payload_that_is_wrong(tmp_path: Path, payload: str, status: int, said: str) -> None:
    error = _fails(tmp_path, HELLO_WORLD, "--call", payload, status=status)

    assert said in error


def test_each_fault_of_a_payload_is_told(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text(
        _BATCH + "class Echo(Pipeline):\n    def predict(self, name: str) -> str:\n"
        "        return name\n"
    )

    error = _fails(tmp_path, tmp_path, "--call", '{"nope": 1}')

    assert "name: Field required; nope: Extra inputs are not permitted" in error


def test_a_predict_that_raises(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text(_BATCH + _PREDICT)

    finished = run("dev", tmp_path, "--call", "{}", cwd=tmp_path)

    assert finished.status == 1
    assert finished.out == ""
    # A gateway does not pass on why a runner failed; the runner's log has it.
    (error,) = (line for line in finished.err.splitlines() if line.startswith("error: "))
    assert "orchestrator" in error
    assert "RuntimeError: out of memory" in finished.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((GRAYSCALE, "--input", CLIP, "--call", "{}"), "--input and --call exclude each other"),
        ((HELLO_WORLD, "--input", CLIP), "HelloWorld is a batch pipeline: use --call"),
        ((GRAYSCALE, "--call", "{}"), "Grayscale is a live pipeline: use --input"),
        ((GRAYSCALE, "--output", "out.mp4"), "--output goes with --input or --call"),
        ((GRAYSCALE, "--input", CLIP, "--fast", "--live"), "--fast and --live exclude each other"),
        ((GRAYSCALE, "--input", CLIP, "--params", "{"), "--params is no JSON"),
        ((GRAYSCALE, "--input", CLIP, "--params", "[]"), "--params must be a JSON object"),
    ],
)
def test_options_that_do_not_go_together(
    tmp_path: Path, arguments: tuple[str | Path, ...], said: str
) -> None:
    assert said in _fails(tmp_path, *arguments, status=2)


def test_an_unknown_option(tmp_path: Path) -> None:
    finished = run("dev", HELLO_WORLD, "--nope", cwd=tmp_path)

    assert finished.status == 2
    assert "No such option: --nope" in finished.err
    assert "Traceback" not in finished.err
