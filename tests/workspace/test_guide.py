"""The guide to trickle says what is so: its scripts and commands run, its tables match the code."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from livepeer.trickle import TricklePublisher, TrickleServer, TrickleSubscriber
from livepeer.trickle.cli.pub import pub

from .guides import assert_prints

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "trickle.md").read_text(encoding="utf-8")
BASE = "http://127.0.0.1:8888"
"""What the server of the guide prints."""

SERVE, *COMMANDS = [
    pytest.param(*block, id=f"{language}-{number}")
    for number, (language, *block) in enumerate(
        re.findall(r"```(sh)\n(.*?)```(?:\n\n```text\n(.*?)```)?", GUIDE, flags=re.DOTALL)
    )
]
SCRIPTS = [
    pytest.param(*block, id=section.split("\n")[0])
    for section in GUIDE.split("\n## ")
    for block in re.findall(
        r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", section, flags=re.DOTALL
    )
]

ENVIRONMENT = {
    **os.environ,
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "COLUMNS": "120",
}


def test_every_block_is_found():
    kinds = re.findall(r"(?m)^```(\w+)$", GUIDE)
    assert kinds.count("python") == len(SCRIPTS) > 0
    assert kinds.count("sh") == len(COMMANDS) + 1
    assert set(kinds) == {"python", "sh", "text", "console"}


@pytest.mark.parametrize(("script", "output"), SCRIPTS)
def test_scripts_run_and_print_what_the_guide_says(script: str, output: str, tmp_path: Path):
    assert_prints(script, output, tmp_path)


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    """The server of the guide, on a free port; its base URL."""
    command = SERVE.values[0]
    assert isinstance(command, str)
    with subprocess.Popen(
        ["bash", "-c", f"exec {command.strip()} --port 0"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()
    assert server.returncode == 0


@pytest.mark.parametrize(("commands", "output"), COMMANDS)
def test_commands_run_and_print_what_the_guide_says(
    commands: str, output: str, base: str, tmp_path: Path
):
    assert BASE in commands
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    ended = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", commands.replace(BASE, base)],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == output


def table(first_column: str) -> dict[str, list[str]]:
    """The rows of the table whose head begins so, by their first cell."""
    lines = GUIDE.split(f"\n| {first_column} |", 1)[1].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_every_setting_of_the_server_has_a_row_with_its_default():
    settings = inspect.signature(TrickleServer).parameters
    rows = table("setting | default")
    assert list(rows) == list(settings)
    assert {name: row[0] for name, row in rows.items()} == {
        name: f"`{setting.default}`" for name, setting in settings.items()
    }


def test_the_patience_of_both_ends_is_as_the_table_says():
    rows = re.findall(r"(?m)^\| `(\w+)` \| `(Trickle\w+)` \| `(.*?)` \|$", GUIDE)
    assert len(rows) == 5
    kinds = {kind.__name__: kind for kind in (TricklePublisher, TrickleSubscriber)}
    for name, kind, default in rows:
        assert str(inspect.signature(kinds[kind]).parameters[name].default) == default, name


def test_the_defaults_of_pub_are_as_the_table_says():
    options = inspect.signature(pub).parameters
    rows = table("option | default")
    assert {"--rate", "--linger"} <= set(rows)
    for option, (default, _) in rows.items():
        assert f"`{options[option.strip('-').replace('-', '_')].default}`" == default, option
