"""Each adapter with the real framework, in an environment of its own.

The frameworks stay out of the project's environment: their requirements would decide ours. One
environment for each lies in the user's cache (`LIVEPEER_ADAPTER_CACHE` names another folder), one
for a checkout and a Python, and is made anew when what it is made of changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

_HERE = Path(__file__).parent
_INSIDE = _HERE / "inside"
_PACKAGES = _HERE.parents[2]
_TOOLS = ["pytest>=8.3", "pytest-asyncio>=1.0", "pytest-timeout>=2.3"]
_FRAMEWORKS = {
    "cog": ["pillow"],
    "litserve": ["pillow"],
    "bentoml": ["pillow"],
    "fal": [],
    "modal": [],
}
"""What the programs need beside the framework, whose versions the extra of its name decides."""
_INSTALL_S = 400
_RUN_S = 150


@pytest.mark.slow
@pytest.mark.timeout(_INSTALL_S + _RUN_S + 30)
@pytest.mark.parametrize("framework", _FRAMEWORKS)
def test_programs_of_the_framework_are_served_as_they_are(framework: str):
    python = _environment(framework)
    ran = _run(
        [
            *(str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-c", str(_INSIDE / "pytest.ini"), str(_INSIDE / f"check_{framework}.py")),
        ],
        _RUN_S,
        {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout


def _environment(framework: str) -> Path:
    folders = [_PACKAGES / "livepeer-trickle", _PACKAGES / "livepeer-runner"]
    own = [str(folders[0]), f"{folders[1]}[{framework}]"]
    wanted = [*_FRAMEWORKS[framework], *_TOOLS]
    made_of = "\n".join([*wanted, *own, *map(_requirements, folders)])
    folder = _cache() / f"{framework}-{_hash(sys.version, str(_PACKAGES))}"
    python, ready = folder / "bin" / "python", folder / "ready"
    with _alone(folder):
        if not ready.exists() or ready.read_text(encoding="utf-8") != _hash(made_of):
            shutil.rmtree(folder, ignore_errors=True)
            made = _run(["uv", "venv", "--quiet", "-p", sys.executable, str(folder)], 60)
            assert made.returncode == 0, made.stderr
            editable = [text for one in own for text in ("-e", one)]
            line = ["uv", "pip", "install", "--quiet", "-p", str(python), *editable, *wanted]
            made = _run(line, _INSTALL_S)
            assert made.returncode == 0, made.stderr
            ready.write_text(_hash(made_of), encoding="utf-8")
    return python


def _requirements(package: Path) -> str:
    """What a package needs, which is all that an environment keeps of its metadata."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return json.dumps([project["dependencies"], project["optional-dependencies"]])


def _hash(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


@contextmanager
def _alone(folder: Path) -> Generator[None, None, None]:
    """Keep other runs of these tests from making the same environment meanwhile."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _cache() -> Path:
    given = os.environ.get("LIVEPEER_ADAPTER_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "livepeer-adapters"


def _run(
    line: list[str], timeout_s: float, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    return subprocess.run(
        line,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**kept, **(environment or {})},
        check=False,
    )
