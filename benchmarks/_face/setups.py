"""What can be measured on a machine, and the packages of this checkout in it."""

from __future__ import annotations

import os
import re
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from .environments import Environment, Unavailable

if TYPE_CHECKING:
    from collections.abc import Generator

BENCHMARKS = Path(__file__).parents[1]
PACKAGES = BENCHMARKS.parent / "packages"


@dataclass
class Setup:
    """What can be measured here.

    Attributes:
        cache: The folder of environments.
        environments: The interpreter of each subject that there is.
        absent: The subjects that there are not, and why.
    """

    cache: Path
    environments: dict[str, Environment] = field(default_factory=dict[str, Environment])
    absent: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def versions(self) -> dict[str, dict[str, str]]:
        """What is in each environment."""
        return {name: made.versions for name, made in self.environments.items()}

    @contextmanager
    def allowed(self, name: str) -> Generator[None]:
        """Count a subject as absent whose environment cannot be made inside."""
        try:
            yield
        except Unavailable as error:
            self.absent[name] = str(error)

    def variables(self, *packages: str) -> dict[str, str]:
        """The environment of a process that finds the benchmarks, and packages of this checkout."""
        paths = [BENCHMARKS, *(PACKAGES / name / "src" for name in packages)]
        return {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONPYCACHEPREFIX": str(self.cache / "bytecode"),
        }


def own(*packages: str) -> list[str]:
    """Packages of this checkout as requirements: for their metadata, as their modules are found."""
    return [f"{name} @ {(PACKAGES / name).as_uri()}" for name in packages]


def needs(package: str, *extras: str) -> list[str]:
    """What a package of this checkout depends on, without others of it."""
    project = tomllib.loads((PACKAGES / package / "pyproject.toml").read_text())["project"]
    found: list[str] = list(project["dependencies"])
    for extra in extras:
        found += project["optional-dependencies"][extra]
    return [need for need in found if not need.startswith("livepeer-")]


def pinned(*requirements: str) -> list[str]:
    """Requirements in the versions that this project is developed with, each once."""
    return list(dict.fromkeys(map(_pinned, requirements)))


def _pinned(requirement: str) -> str:
    found = re.match(r"([\w.-]+)(\[[^\]]*\])?", requirement)
    assert found is not None
    return f"{found[1]}{found[2] or ''}=={version(found[1])}"
