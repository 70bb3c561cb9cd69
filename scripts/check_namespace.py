"""Guard the namespace package `livepeer` in the tree and in built distributions.

Three distributions share the import name `livepeer` (PEP 420), which works only while no
distribution ships a module of its own directly in `livepeer/`. A stray `livepeer/__init__.py`
hides the other two from editable installs at once, but not from wheels, which all land in one
folder; so the tree and the built files are both looked at, by the same rules:

- nothing lies directly in `livepeer/`, neither `__init__.py` nor a stub nor a marker;
- each `livepeer/X/` is a regular package (`__init__.py`) that is typed (`py.typed`);
- a distribution ships nothing beside `livepeer/` (no `tests/`, no second top-level package);
- no two distributions ship the same `livepeer/X/`.

Run it as `python scripts/check_namespace.py [--wheels DIR]`. It ends with status 1 and one line
for each fault.
"""

from __future__ import annotations

import argparse
import sys
import tarfile
import zipfile
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NAMESPACE = "livepeer"
REQUIRED = ("__init__.py", "py.typed")


class Source:
    """The import root of one distribution, wherever it was found.

    Attributes:
        label: What to call it in a message, such as the path of a wheel.
        distribution: The distribution's name, with underscores as in a wheel's file name.
        files: Its files, relative to the folder that goes onto `sys.path`.
    """

    def __init__(self, label: str, distribution: str, files: Iterable[str]) -> None:
        self.label = label
        self.distribution = distribution.replace("-", "_")
        self.files = frozenset(PurePosixPath(name) for name in files)

    def subpackages(self) -> set[str]:
        """Names of the folders in `livepeer/`."""
        return {f.parts[1] for f in self.files if f.parts[0] == NAMESPACE and len(f.parts) > 2}

    def faults(self) -> Iterator[str]:
        """What breaks the namespace, one sentence for each."""
        for file in sorted(self.files):
            if file.parts[0] != NAMESPACE:
                yield f"{self.label}: {file} lies outside {NAMESPACE}/; ship nothing else"
            elif len(file.parts) == 2:
                yield (
                    f"{self.label}: {file} makes {NAMESPACE} a package of its own and hides the "
                    f"other distributions; delete it"
                )
        subpackages = self.subpackages()
        if not subpackages:
            yield f"{self.label}: no package in {NAMESPACE}/"
        for name in sorted(subpackages):
            for required in REQUIRED:
                if PurePosixPath(NAMESPACE, name, required) not in self.files:
                    yield f"{self.label}: {NAMESPACE}/{name}/{required} is missing; add it"


def tree_sources(root: Path) -> Iterator[Source]:
    """The import roots `packages/*/src` below `root`."""
    for source in sorted(root.glob("packages/*/src")):
        files = [
            path.relative_to(source).as_posix()
            for path in source.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
        ]
        yield Source(str(source.relative_to(root)), source.parent.name, files)


def wheel_source(path: Path) -> Source:
    """The import root inside a wheel: all but its metadata folder."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    files = [name for name in names if not name.split("/")[0].endswith(".dist-info")]
    return Source(path.name, path.name.split("-")[0], files)


def sdist_source(path: Path) -> Source:
    """The import root inside an sdist: its `src/` folder."""
    with tarfile.open(path) as archive:
        names = [PurePosixPath(member.name) for member in archive.getmembers() if member.isfile()]
    files = [
        PurePosixPath(*name.parts[2:]).as_posix() for name in names if name.parts[1:2] == ("src",)
    ]
    return Source(path.name, path.name.rsplit("-", 1)[0], files)


def built_sources(folder: Path) -> Iterator[list[Source]]:
    """The wheels and then the sdists in `folder`, for they hold the same packages twice."""
    yield [wheel_source(path) for path in sorted(folder.glob("*.whl"))]
    yield [sdist_source(path) for path in sorted(folder.glob("*.tar.gz"))]


def check(sources: Iterable[Source], place: str) -> Iterator[str]:
    """The faults of each source, and those that show only when all are seen together."""
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for source in sources:
        yield from source.faults()
        for name in source.subpackages():
            owners[name].add(source.distribution)
    if not owners:
        yield f"{place}: nothing to check here"
    for name, distributions in sorted(owners.items()):
        if len(distributions) > 1:
            yield f"{place}: {NAMESPACE}/{name} comes from {' and '.join(sorted(distributions))}"


def main() -> int:
    """Check what the command line names; the return value is the exit status."""
    parser = argparse.ArgumentParser(description="Guard the namespace package `livepeer`.")
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(__file__).resolve().parent.parent,
        help="the workspace (default: the one that this script is in)",
    )
    parser.add_argument(
        "--wheels", type=Path, metavar="DIR", help="also check the wheels and sdists in DIR"
    )
    arguments = parser.parse_args()
    faults = list(check(tree_sources(arguments.root), "packages/*/src"))
    if arguments.wheels is not None:
        for sources, kind in zip(
            built_sources(arguments.wheels), ("wheels", "sdists"), strict=True
        ):
            faults += check(sources, f"{kind} in {arguments.wheels}")
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if not faults:
        print(f"namespace {NAMESPACE}: whole")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
