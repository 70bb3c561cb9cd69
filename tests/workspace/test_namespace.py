"""`scripts/check_namespace.py` passes on what we have and refuses what would break it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STRAY = ("__init__.py", "__init__.pyi", "py.typed")


def check(root: Path, *options: str | Path) -> tuple[int, str]:
    """Runs the script; returns its status and its complaints."""
    script = root / "scripts" / "check_namespace.py"
    ended = subprocess.run(
        [sys.executable, script, *options], capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stderr


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """A copy of the packages, to be damaged."""
    ignored = shutil.ignore_patterns("__pycache__", ".venv")
    shutil.copytree(root / "packages", tmp_path / "packages", ignore=ignored)
    shutil.copytree(root / "scripts", tmp_path / "scripts", ignore=ignored)
    return tmp_path


def test_tree_is_whole(root: Path) -> None:
    assert check(root) == (0, "")


def test_built_distributions_are_whole(root: Path, dists: Path) -> None:
    assert check(root, "--wheels", dists) == (0, "")


@pytest.mark.parametrize("name", STRAY)
def test_stray_file_in_the_tree_is_refused(copy: Path, name: str) -> None:
    (copy / "packages/livepeer-runner/src/livepeer" / name).touch()
    status, complaint = check(copy)
    assert status == 1
    assert f"packages/livepeer-runner/src: livepeer/{name} makes livepeer a package" in complaint


@pytest.mark.parametrize("name", ["__init__.py", "py.typed"])
def test_missing_file_in_the_tree_is_refused(copy: Path, name: str) -> None:
    (copy / "packages/livepeer-client/src/livepeer/client" / name).unlink()
    status, complaint = check(copy)
    assert status == 1
    assert f"livepeer/client/{name} is missing" in complaint


def test_package_owned_twice_is_refused(copy: Path) -> None:
    twin = copy / "packages/livepeer-client/src/livepeer/cli"
    shutil.copytree(copy / "packages/livepeer-trickle/src/livepeer/cli", twin)
    status, complaint = check(copy)
    assert status == 1
    assert "livepeer/cli comes from livepeer_client and livepeer_trickle" in complaint


def test_second_top_level_package_is_refused(copy: Path) -> None:
    (copy / "packages/livepeer-client/src/livepeer_client.py").touch()
    status, complaint = check(copy)
    assert status == 1
    assert "livepeer_client.py lies outside livepeer/" in complaint


def test_empty_folders_are_refused(root: Path, tmp_path: Path) -> None:
    status, complaint = check(root, "--wheels", tmp_path)
    assert status == 1
    assert "wheels in" in complaint
    assert "sdists in" in complaint
    assert check(root, "--root", tmp_path)[0] == 1


def plant_in_wheel(dists: Path, stray: Path) -> None:
    wheel = next(dists.glob("livepeer_runner-*.whl"))
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.write(stray, "livepeer/__init__.py")


def plant_in_sdist(dists: Path, stray: Path) -> None:
    sdist = next(dists.glob("livepeer_runner-*.tar.gz"))
    with tarfile.open(sdist) as archive:
        archive.extractall(stray.parent, filter="data")
    folder = sdist.name.removesuffix(".tar.gz")
    with tarfile.open(sdist, "w:gz") as archive:
        archive.add(stray.parent / folder, folder)
        archive.add(stray, f"{folder}/src/livepeer/__init__.py")


@pytest.mark.parametrize("plant", [plant_in_wheel, plant_in_sdist])
def test_stray_file_in_a_built_file_is_refused(
    root: Path, dists: Path, tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    copy = tmp_path / "dist"
    shutil.copytree(dists, copy)
    stray = tmp_path / "stray"
    stray.touch()
    plant(copy, stray)
    status, complaint = check(root, "--wheels", copy)
    assert status == 1
    assert complaint.count("livepeer/__init__.py makes livepeer a package") == 1


def test_a_tree_with_a_stray_file_builds_files_that_are_refused(
    copy: Path, root: Path, uv: str, tmp_path: Path
) -> None:
    """The build backend does not stop it, which is why the guard exists."""
    package = copy / "packages/livepeer-trickle"
    (package / "src/livepeer/__init__.py").touch()
    built = tmp_path / "built"
    subprocess.run(
        [uv, "build", "--quiet", "--no-sources", "--out-dir", built, package],
        check=True,
        capture_output=True,
    )
    status, complaint = check(root, "--wheels", built)
    assert status == 1
    assert complaint.count("livepeer/__init__.py makes livepeer a package") == 2
