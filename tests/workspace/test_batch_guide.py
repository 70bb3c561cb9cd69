"""The guides to batch say what is so: scripts run, calls get the answers that they show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pytest

from livepeer.runner._server.problems import _STATUS as STATUS
from livepeer.runner.errors import NoSession, SessionExists

from .guides import PATIENCE_S, assert_prints

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = "\n".join(
    [
        *(
            (ROOT / "docs" / name).read_text(encoding="utf-8")
            for name in ("batch.md", "service.md")
        ),
        README.split("\n### Requests\n")[1].split("\n## ")[0],
    ]
)
BASE = "localhost:5000"

BLOCKS = re.findall(r"```(\w+)\n(.*?)```(?:\n\n```text\n(.*?)```)?", GUIDE, flags=re.DOTALL)
SCRIPTS = [(text, output) for language, text, output in BLOCKS if language == "python" and output]


def served() -> list[tuple[str, list[tuple[str, str]]]]:
    """Each script that serves, and the commands that call it with what they print."""
    found: list[tuple[str, list[tuple[str, str]]]] = []
    for language, text, output in BLOCKS:
        if language == "python" and "serve(" in text and not output:
            found.append((text, []))
        elif language == "sh":
            found[-1][1].append((text, output))
    return found


SERVED = served()


def test_every_block_is_found():
    kinds = re.findall(r"(?m)^```(\w+)$", GUIDE)
    assert kinds.count("python") == len(SCRIPTS) + len(SERVED)
    assert kinds.count("sh") == sum(len(calls) for _, calls in SERVED)
    assert kinds.count("text") == len(SCRIPTS) + kinds.count("sh")
    assert set(kinds) == {"python", "sh", "text"}
    assert all(calls for _, calls in SERVED)


@pytest.mark.parametrize(("script", "output"), SCRIPTS)
def test_scripts_run_and_print_what_the_guide_says(script: str, output: str, tmp_path: Path):
    assert_prints(script, output, tmp_path)


@pytest.mark.parametrize(
    ("script", "calls"), SERVED, ids=[re.findall(r"serve\(\s*(\w+)", text)[0] for text, _ in SERVED]
)
def test_calls_get_the_answers_that_the_guide_shows(
    script: str, calls: list[tuple[str, str]], tmp_path: Path
):
    file = tmp_path / "pipeline.py"
    file.write_text(script, encoding="utf-8")
    with serving(file) as address:
        for commands, output in calls:
            assert BASE in commands
            ended = subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", commands.replace(BASE, address)],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE_S,
            )
            assert (ended.returncode, ended.stderr) == (0, "")
            # Answers have no newline at their end, or two.
            assert ended.stdout.rstrip("\n") == output.rstrip("\n")


@contextmanager
def serving(pipeline: Path) -> Generator[str, None, None]:
    """Run a script that serves until its address has been used; it must end well."""
    environment = {**os.environ, "LIVEPEER_HOST": "127.0.0.1", "LIVEPEER_PORT": "0"}
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(pipeline)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            found = None
            while found is None:
                line = process.stderr.readline()
                assert line, "it ended before it listened"
                found = re.search(r" at http://(\S+) ", line)
            wait_until_ready(f"http://{found[1]}/ready")
            yield found[1]
        finally:
            process.terminate()
            assert process.wait(timeout=PATIENCE_S) == 0


def wait_until_ready(url: str) -> None:
    end = monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S):
                return
        except urllib.error.HTTPError as error:
            with error:
                answered = error.code
        assert answered == 503
        assert monotonic() < end
        sleep(0.01)


def test_every_error_has_a_row_with_its_status():
    rows = set(re.findall(r"(?m)^\| (\d+) \| `(\w+)` \|", GUIDE))
    live = {SessionExists, NoSession}
    known = {(str(status), kind.__name__) for kind, status in STATUS if kind not in live}
    assert known <= rows
    assert rows - known == {("500", "InvalidResult")}
