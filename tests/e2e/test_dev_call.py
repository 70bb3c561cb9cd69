"""`livepeer dev --call`: one answer on standard output, all else on standard error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from .command import HELLO_WORLD, run

if TYPE_CHECKING:
    from pathlib import Path

_NOISY = """
import os
from livepeer.runner import Pipeline

class Noisy(Pipeline):
    def setup(self) -> None:
        print("setup by print")
        os.write(1, b"setup by write\\n")

    def predict(self, name: str) -> str:
        print("predict by print")
        os.write(1, b"predict by write\\n")
        return name
"""
_MANY = """
from collections.abc import Iterator
from livepeer.runner import Pipeline

class Count(Pipeline):
    def predict(self, to: int) -> Iterator[dict[str, int]]:
        for number in range(to):
            yield {"number": number}
"""


_UNGUARDED = """
from livepeer.runner import Pipeline, serve

class Greeter(Pipeline):
    def predict(self, name: str) -> str:
        return f"Hello, {name}!"

serve(Greeter())
"""


def test_a_file_that_serves_on_import_and_an_environment_for_another_orchestrator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "greeter.py").write_text(_UNGUARDED)
    monkeypatch.setenv("ORCH_TOKEN", "another")
    monkeypatch.setenv("CAPABILITY_PRICE", "5")

    finished = run("dev", tmp_path / "greeter.py", "--call", '{"name": "Ada"}')

    assert (finished.status, finished.out) == (0, '"Hello, Ada!"\n'), finished.err


@pytest.mark.parametrize("options", [(), ("--verify",), ("--price", "10")])
def test_the_readme_call(options: tuple[str, ...]) -> None:
    finished = run("dev", HELLO_WORLD, "--call", '{"name": "Ada"}', *options)

    assert finished.status == 0, finished.err
    assert finished.out == '"Hello, Ada!"\n'
    assert "error" not in finished.err


def test_what_a_pipeline_prints_goes_to_standard_error(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text(_NOISY)

    finished = run("dev", tmp_path, "--call", '{"name": "\\u00e9\\ud83d\\ude00"}')

    assert finished.status == 0, finished.err
    assert json.loads(finished.out) == "\u00e9\U0001f600"
    assert finished.out.count("\n") == 1
    for said in ("setup by print", "setup by write", "predict by print", "predict by write"):
        assert said in finished.err


@pytest.mark.parametrize("options", [(), ("--verify",)])
def test_a_generator_gives_a_line_for_each_item(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "pipeline.py").write_text(_MANY)

    finished = run("dev", tmp_path, "--call", '{"to": 3}', *options)

    assert finished.status == 0, finished.err
    assert [json.loads(line) for line in finished.out.splitlines()] == [
        {"number": 0},
        {"number": 1},
        {"number": 2},
    ]


def test_the_payload_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"name": "file"}')

    finished = run("dev", HELLO_WORLD, "--call", f"@{tmp_path / 'in.json'}")

    assert finished.status == 0, finished.err
    assert finished.out == '"Hello, file!"\n'


_WHERE = """
import sys
from livepeer.runner import Pipeline

class Where(Pipeline):
    def predict(self) -> bool:
        return "livepeer.cli" in sys.modules
"""


def test_several_model_processes_and_a_log_for_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "where.py").write_text(_WHERE)
    monkeypatch.setenv("LIVEPEER_WORKERS", "2")
    monkeypatch.setenv("LIVEPEER_LOG_FORMAT", "json")
    monkeypatch.setenv("LIVEPEER_LOG_LEVEL", "info")

    finished = run("dev", tmp_path / "where.py", "--call", "{}")

    assert (finished.status, finished.out) == (0, "false\n"), finished.err
    lines = [json.loads(line) for line in finished.err.splitlines()]
    assert sum("is ready (pid" in line["message"] for line in lines) == 2


_PICTURE = """
from typing import Annotated
from livepeer.runner import ContentType, File, Pipeline

class Stamp(Pipeline):
    def predict(self, image: File | None = None) -> Annotated[bytes, ContentType("image/png")]:
        return b"\\x89PNG\\r\\n" + (image.read() if image else b"")
"""


def test_bytes_are_written_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "stamp.py").write_text(_PICTURE)
    output = tmp_path / "out.png"

    finished = run("dev", tmp_path / "stamp.py", "--call", "{}", "--output", output)

    assert (finished.status, finished.out) == (0, ""), finished.err
    assert f"{output}: " in finished.err
    assert output.read_bytes() == b"\x89PNG\r\n"
