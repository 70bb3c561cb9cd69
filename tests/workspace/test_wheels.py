"""Each wheel installs alone, brings what it needs and nothing of the other two."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow

# Imports every module that is there, save those that need an extra, and tells which of the named
# ones are there and where each part of the namespace was loaded from.
PROBE = """
import importlib, importlib.util, json, pkgutil, sys
import livepeer

wanted, extras = json.loads(sys.argv[1])
def beyond(name):
    return any(name == extra or name.startswith(extra + ".") for extra in extras)
def modules(path, prefix):
    for module in pkgutil.iter_modules(path, prefix):
        if beyond(module.name) or module.name.endswith("__main__"):
            continue
        loaded = importlib.import_module(module.name)
        for name in getattr(loaded, "__all__", ()):
            getattr(loaded, name)
        if module.ispkg:
            modules(loaded.__path__, module.name + ".")
modules(livepeer.__path__, "livepeer.")
def there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
print(json.dumps({
    "there": [name for name in wanted if there(name)],
    "namespace": getattr(livepeer, "__file__", None),
    "paths": list(livepeer.__path__),
}))
"""

# Pydantic is not asked for: some versions of Typer bring it, so it says nothing of ours.
THIRD_PARTIES = (
    "aiohttp", "av", "numpy", "typer", "fastapi", "uvicorn", "tenacity", "eth_account", "torch",
)  # fmt: skip
PARTS = ("livepeer.cli", "livepeer.trickle", "livepeer.runner", "livepeer.client")


class Wheel(NamedTuple):
    """What a distribution's wheel is to bring, and which modules wait for an extra."""

    name: str
    there: set[str]
    extras: tuple[str, ...]
    commands: tuple[str, ...]


WHEELS = (
    Wheel(
        "livepeer-trickle",
        {"livepeer.cli", "livepeer.trickle", "aiohttp", "tenacity"},
        ("livepeer.cli", "livepeer.trickle.cli", "livepeer.trickle.media"),
        (),
    ),
    Wheel(
        "livepeer-runner",
        {"livepeer.cli", "livepeer.trickle", "livepeer.runner", "aiohttp", "av", "numpy", "typer",
         "fastapi", "uvicorn", "tenacity"},
        ("livepeer.runner._local.grpc_server", "livepeer.runner._local._proto"),
        ("dev",),
    ),
    Wheel(
        "livepeer-client",
        {"livepeer.cli", "livepeer.trickle", "livepeer.client", "aiohttp", "tenacity", "typer"},
        (
            "livepeer.trickle.media",
            "livepeer.client.media",
            "livepeer.client.stubs",
            "livepeer.client._net.grpc",
            "livepeer.client.testing._grpc_server",
        ),
        ("call", "discover", "stream", "stub", "token"),
    ),
)  # fmt: skip

each_wheel = pytest.mark.parametrize("wheel", WHEELS, ids=lambda wheel: wheel.name)


def built(dists: Path, name: str, suffix: str) -> Path:
    return next(dists.glob(f"{name.replace('-', '_')}-*{suffix}"))


@pytest.fixture(scope="module")
def constraints(
    run: Callable[..., str], uv: str, dists: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Our own distributions are the ones built here; the lock file gives all other versions."""
    file = tmp_path_factory.mktemp("constraints") / "constraints.txt"
    # Two of the extras go with nothing else.
    without = ("--no-extra", "fal", "--no-extra", "bentoml", "--no-dev")
    run(uv, "export", "--frozen", "--quiet", "--all-packages", "--all-extras", *without,
        "--no-hashes", "--no-emit-workspace", "--output-file", file)  # fmt: skip
    with file.open("a") as lines:
        for wheel in WHEELS:
            lines.write(f"{wheel.name} @ {built(dists, wheel.name, '.whl').as_uri()}\n")
    return file


@pytest.fixture(scope="module")
def install(
    run: Callable[..., str],
    uv: str,
    dists: Path,
    constraints: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Path]:
    """Gives the `bin` folder of a bare environment with the named wheel and its dependencies."""
    ready: dict[str, Path] = {}

    def install(name: str) -> Path:
        if name not in ready:
            home = tmp_path_factory.mktemp(name)
            run(uv, "venv", "--quiet", "--no-project", "--python", sys.executable, home, cwd=dists)
            run(uv, "pip", "install", "--quiet", "--python", home, "--constraint", constraints,
                built(dists, name, ".whl"), cwd=dists)  # fmt: skip
            ready[name] = home / "bin"
        return ready[name]

    return install


@each_wheel
def test_wheel_stands_alone(
    run: Callable[..., str], install: Callable[[str], Path], dists: Path, wheel: Wheel
) -> None:
    python = install(wheel.name) / "python"
    question = json.dumps([[*PARTS, *THIRD_PARTIES], wheel.extras])
    answer = json.loads(run(python, "-I", "-c", PROBE, question, cwd=dists))
    assert set(answer["there"]) == wheel.there
    assert answer["namespace"] is None
    assert len(answer["paths"]) == 1
    assert answer["paths"][0].startswith(str(python.parent.parent))


@pytest.mark.parametrize("wheel", [w for w in WHEELS if w.commands], ids=lambda wheel: wheel.name)
def test_command_has_what_its_wheel_brings(
    run: Callable[..., str], install: Callable[[str], Path], dists: Path, wheel: Wheel
) -> None:
    help_text = run(install(wheel.name) / "livepeer", "--help", cwd=dists)
    for command in ("dev", "call", "discover", "stream", "stub", "token"):
        listed = re.search(rf"^\W*{command}\s{{2}}", help_text, re.MULTILINE) is not None
        assert listed == (command in wheel.commands), help_text


def test_command_without_its_extra_says_what_to_install(
    install: Callable[[str], Path], dists: Path
) -> None:
    ended = subprocess.run(
        [install("livepeer-trickle") / "livepeer", "--help"],
        cwd=dists,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode != 0
    assert "livepeer-trickle[cli]" in ended.stderr
    assert "Traceback" not in ended.stderr


@each_wheel
def test_wheel_carries_types_licence_and_commands_and_no_tests(
    root: Path, dists: Path, wheel: Wheel
) -> None:
    with zipfile.ZipFile(built(dists, wheel.name, ".whl")) as archive:
        names = archive.namelist()
        metadata = next(n.split("/")[0] for n in names if n.endswith(".dist-info/METADATA"))
        licence = archive.read(f"{metadata}/licenses/LICENSE").decode()
        entry_points = archive.read(f"{metadata}/entry_points.txt").decode()
    part = wheel.name.removeprefix("livepeer-")
    assert f"livepeer/{part}/py.typed" in names
    assert licence == (root / "LICENSE").read_text()
    assert [name for name in names if "test_" in name or "/tests/" in name] == []
    for command in wheel.commands:
        assert f"\n{command} = livepeer.{part}.cli." in entry_points
    assert ("livepeer = livepeer.cli:main" in entry_points) == (part == "trickle")


@each_wheel
def test_sdist_carries_source_tests_and_licence(root: Path, dists: Path, wheel: Wheel) -> None:
    with tarfile.open(built(dists, wheel.name, ".tar.gz")) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    source = root / "packages" / wheel.name
    kept = {"LICENSE", "README.md", "pyproject.toml"}
    kept |= {
        str(path.relative_to(source))
        for folder in ("src", "tests")
        for path in (source / folder).rglob("*.py")
    }
    assert kept <= names
