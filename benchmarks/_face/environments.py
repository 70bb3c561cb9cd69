"""Virtual environments for peers, made on demand and kept in a cache folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAKING_TIMEOUT_S = 600.0
ASKING_TIMEOUT_S = 30.0


class Unavailable(Exception):
    """An environment cannot be made here; the text says why."""


@dataclass(frozen=True)
class Environment:
    """An interpreter with what was asked for.

    Attributes:
        python: The interpreter.
        versions: The version of Python and of the packages that were asked for.
    """

    python: Path
    versions: dict[str, str]


def find_python(version: str) -> Path:
    """An interpreter of that version, such as `3.12`.

    Raises:
        Unavailable: None of the places has one.
    """
    for candidate in _candidates(version):
        if _answer(candidate, "import sys; print('%d.%d' % sys.version_info[:2])") == version:
            return candidate
    raise Unavailable(f"there is no Python {version} on this machine")


def _candidates(version: str) -> list[Path]:
    found = [Path(sys.executable)]
    named = shutil.which(f"python{version}")
    found += [Path(named)] if named else []
    # pyenv's command for a version that is not the chosen one refuses to run; its folder does not.
    root = os.environ.get("PYENV_ROOT") or _said(["pyenv", "root"])
    if root:
        found += sorted(Path(root, "versions").glob(f"{version}.*/bin/python"), reverse=True)
    by_uv = _said(["uv", "python", "find", "--no-python-downloads", version])
    return [*found, Path(by_uv)] if by_uv else found


def environment(
    cache: Path,
    name: str,
    python: Path,
    requirements: Sequence[str],
    *,
    alone: Sequence[str] = (),
) -> Environment:
    """Make an environment, or take the one that was made before of the same parts.

    Args:
        cache: The folder of all environments.
        name: What to call it.
        python: The interpreter that it is made of.
        requirements: What is installed, with what that needs.
        alone: What is installed without what it needs.

    Raises:
        Unavailable: It cannot be made: no `uv`, no network, or a package that cannot be built.
    """
    key = hashlib.sha256(json.dumps([str(python), *requirements, "", *alone]).encode())
    folder = cache / f"{name}-{key.hexdigest()[:12]}"
    inside = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    done = folder / "complete"
    if not done.exists():
        _run(["uv", "venv", "--quiet", "--clear", "--python", str(python), str(folder)])
        install = ["uv", "pip", "install", "--quiet", "--python", str(inside)]
        if alone:
            _run([*install, "--no-deps", *alone])
        _run([*install, *requirements])
        done.touch()
    return Environment(inside, _versions(inside, [*alone, *requirements]))


def _versions(python: Path, requirements: Sequence[str]) -> dict[str, str]:
    names = [_name(requirement) for requirement in requirements]
    code = (
        "import json, sys\nfrom importlib.metadata import version\n"
        "found = {'python': '%d.%d.%d' % sys.version_info[:3]}\n"
        f"found.update((name, version(name)) for name in {names!r})\nprint(json.dumps(found))"
    )
    answer = _answer(python, code)
    if answer is None:
        raise Unavailable(f"the environment at {python.parent.parent} is broken; delete it")
    found: dict[str, str] = json.loads(answer)
    return found


def _name(requirement: str) -> str:
    end = next((n for n, sign in enumerate(requirement) if sign in "=<>!~[; "), len(requirement))
    return requirement[:end]


def _answer(python: Path, code: str) -> str | None:
    return _said([str(python), "-c", code])


def _said(command: Sequence[str]) -> str | None:
    """What a command printed; None when it is not there or failed."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ASKING_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(
            command, capture_output=True, text=True, timeout=MAKING_TIMEOUT_S, check=True
        )
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"`{' '.join(command)}` failed: {error.stderr.strip()}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"`{' '.join(command)}` failed: {error}") from error
