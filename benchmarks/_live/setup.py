"""Which subjects there are on this machine, and how their processes are started."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from _face.environments import Environment, Unavailable, environment, find_python
from _face.processes import Child
from _face.setups import BENCHMARKS

OURS, ISOLATED, FLOOR = "ours", "isolated", "floor"
GATEWAY, PYTRICKLE = "gateway", "pytrickle"
PEERS = (GATEWAY, PYTRICKLE)
GATEWAY_PYTHON = "3.12"
"""Its package refuses older ones; all others run on the Python of this project."""


@dataclass
class Setup:
    """What can be measured here.

    Attributes:
        cache: The folder of environments and clips.
        environments: The versions of each subject that there is.
        absent: The subjects that there are not, and why.
    """

    cache: Path
    environments: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    absent: dict[str, str] = field(default_factory=dict[str, str])
    _pythons: dict[str, Path] = field(default_factory=dict[str, Path])
    _paths: dict[str, list[Path]] = field(default_factory=dict[str, list[Path]])

    def subject(self, name: str) -> Child:
        """A process of a subject that waits for its job."""
        known = OURS if name == ISOLATED else name
        return self._run(["_live.subject", known], known)

    def helper(self, *module: str) -> Child:
        """A process of ours that is not measured."""
        return self._run([*module], OURS)

    def has_torch(self, name: str) -> bool:
        """Whether a subject can make tensors."""
        return name != GATEWAY and find_spec("torch") is not None

    def add(self, name: str, python: Path, versions: dict[str, str], *paths: Path) -> None:
        """Make a subject known; `paths` are searched for its packages before others."""
        self.environments[name] = versions
        self._pythons[name], self._paths[name] = python, list(paths)

    def _run(self, module: list[str], name: str) -> Child:
        inherited = filter(None, [os.environ.get("PYTHONPATH", "")])
        paths = [str(BENCHMARKS), *map(str, self._paths[name]), *inherited]
        return Child(
            [str(self._pythons[name]), "-m", *module],
            {
                "PYTHONPATH": os.pathsep.join(paths),
                "PYTHONPYCACHEPREFIX": str(self.cache / "bytecode"),
                # Idle OpenMP threads spin, which would be charged to whoever uses torch.
                "OMP_NUM_THREADS": "1",
            },
        )


def make(cache: Path) -> Setup:
    """Make what can be made: all on the same versions of aiohttp and PyAV."""
    setup = Setup(cache)
    here = Path(sys.executable)
    names = ("av", "aiohttp", "numpy", "torch")
    own = {"python": "{}.{}.{}".format(*sys.version_info[:3]), **_installed(*names)}
    setup.add(OURS, here, own)
    setup.add(FLOOR, here, own)
    pins = [f"{name}=={own[name]}" for name in ("aiohttp", "av", "numpy")]
    for name in PEERS:
        try:
            (_add_gateway if name == GATEWAY else _add_pytrickle)(setup, pins)
        except Unavailable as error:
            setup.absent[name] = str(error)
    return setup


def _add_gateway(setup: Setup, pins: list[str]) -> None:
    python = find_python(GATEWAY_PYTHON)
    made = environment(setup.cache, GATEWAY, python, ["livepeer-gateway==1.0.0", *pins])
    setup.add(GATEWAY, made.python, made.versions)


def _add_pytrickle(setup: Setup, pins: list[str]) -> None:
    """On our interpreter and our torch, which no registry has for every version of Python.

    It asks for PyAV 14 at most; it runs on ours as well, whose codecs all others use.
    """
    if find_spec("torch") is None:
        raise Unavailable("torch is not installed beside this benchmark")
    needs = ["pillow", "nvidia-ml-py"]
    made: Environment = environment(
        setup.cache, PYTRICKLE, Path(sys.executable), needs, alone=["pytrickle==0.1.6"]
    )
    packages = next(made.python.parents[1].glob("lib/python*/site-packages"))
    versions = {**made.versions, **dict(pin.split("==") for pin in pins)}
    setup.add(PYTRICKLE, Path(sys.executable), versions, packages)


def _installed(*names: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
