"""What the tests of the workspace share: where things are, and the distributions as built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = ("livepeer-trickle", "livepeer-runner", "livepeer-client")


class Run(Protocol):
    """Runs a program and returns what it wrote to standard output."""

    def __call__(self, *command: str | Path, cwd: Path = ..., status: int = ...) -> str: ...


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def run() -> Run:
    # A PYTHONPATH of the caller's would let one distribution see another.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*command: str | Path, cwd: Path = ROOT, status: int = 0) -> str:
        ended = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == status, f"{command} ended with {ended.returncode}\n" + (
            ended.stdout + ended.stderr
        )
        return ended.stdout

    return run


@pytest.fixture(scope="session")
def uv() -> str:
    found = os.environ.get("UV") or shutil.which("uv")
    assert found, "uv is not on the PATH: pip install uv"
    return found


@pytest.fixture(scope="session")
def dists(run: Run, uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of each distribution.

    `--no-sources`, so that what is built is what a user's resolver sees.
    """
    folder = tmp_path_factory.mktemp("dist")
    for name in DISTRIBUTIONS:
        run(uv, "build", "--no-sources", "--python", sys.executable, "--package", name,
            "--out-dir", folder)  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def python() -> Path:
    return Path(sys.executable)
