"""The house keeps its shape: small modules, the same files in each package, layers that hold."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
MAX_LINES = 400
README_TESTS = "pip install uv && uv run pytest"

each_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)


def test_there_are_three_packages() -> None:
    assert [p.name for p in PACKAGES] == ["livepeer-client", "livepeer-runner", "livepeer-trickle"]


@each_package
def test_no_module_is_long(package: Path) -> None:
    lengths = {
        str(path.relative_to(package)): len(path.read_text().splitlines())
        for path in package.glob("src/**/*.py")
    }
    assert {path: n for path, n in lengths.items() if n > MAX_LINES} == {}


@each_package
def test_every_folder_of_modules_is_a_package(package: Path) -> None:
    """A folder without `__init__.py` imports by accident and is left out by the type checkers."""
    folders = {path.parent for path in package.glob("src/livepeer/*/**/*.py")}
    assert [f for f in sorted(folders) if not (f / "__init__.py").exists()] == []


@each_package
def test_every_module_says_what_it_is_for(package: Path) -> None:
    silent = [
        str(path.relative_to(package))
        for path in package.glob("src/**/*.py")
        # What is generated says so in its `.proto`.
        if not path.name.endswith("_pb2.py") and not path.read_text().startswith(('"""', 'r"""'))
    ]
    assert silent == []


@each_package
def test_package_has_its_papers(package: Path) -> None:
    assert (package / "README.md").read_text().startswith(f"# {package.name}\n")
    # Build backends take no licence from outside the package's folder, so each has a copy.
    assert (package / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert any((package / "tests").glob("test_*.py"))


@each_package
def test_package_metadata_is_ready_to_publish(package: Path) -> None:
    metadata = tomllib.loads((package / "pyproject.toml").read_text())
    project = metadata["project"]
    assert project["name"] == package.name
    assert project["license"] == "MIT"
    assert project["requires-python"] == ">=3.11"
    versions = {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13, 14)}
    assert {*versions, "Typing :: Typed"} <= set(project["classifiers"])
    assert set(metadata["tool"]) <= {"hatch", "uv"}, "tools are configured in the root only"


def test_each_requirement_has_a_lower_bound() -> None:
    """The job with the lowest allowed versions can test only a bound that is written down."""
    unbound: list[str] = []
    for package in PACKAGES:
        project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
        groups = [project["dependencies"], *project.get("optional-dependencies", {}).values()]
        unbound += [
            f"{package.name}: {requirement}"
            for requirement in chain.from_iterable(groups)
            if not re.search(r">=|==", requirement)
        ]
    assert unbound == []


def test_layers_hold(run: Callable[..., str], python: Path) -> None:
    assert "0 broken" in run(python.parent / "lint-imports", "--no-cache")


def test_ci_runs_the_command_of_the_readme() -> None:
    assert README_TESTS in (ROOT / "README.md").read_text()
    assert README_TESTS in (ROOT / ".ci/run").read_text()
