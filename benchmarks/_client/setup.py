"""Which subjects there are on this machine, and how their processes are started."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from _face.environments import Environment, Unavailable, environment, find_python
from _face.processes import Child

BENCHMARKS = Path(__file__).parents[1]
PACKAGES = BENCHMARKS.parent / "packages"
OURS, FLOOR, GATEWAY = "ours", "floor", "gateway"
JSON = "aiohttp_json"
"""The floor with JSON in and out, which an application has to do as well."""

GATEWAY_PYTHON = "3.12"
"""Its package refuses older ones; all run on the same."""

_PACKAGES = ("livepeer-trickle", "livepeer-client")


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

    def subject(self, name: str) -> Child:
        """A process of a subject that waits for laps."""
        return self._run(name, "_client.subject", name)

    def importing(self, name: str, url: str) -> Child:
        """A process that imports a subject and makes one call."""
        return self._run(name, "_client.importing", name, url)

    def node(self) -> Child:
        """The node that all call, which is not measured."""
        return self._run(FLOOR, "_client.node")

    def _run(self, name: str, *module: str) -> Child:
        paths = [str(BENCHMARKS)]
        name = FLOOR if name == JSON else name
        if name == OURS:
            paths += [str(PACKAGES / package / "src") for package in _PACKAGES]
        return Child(
            [str(self.environments[name].python), "-m", *module],
            {
                "PYTHONPATH": os.pathsep.join(paths),
                "PYTHONPYCACHEPREFIX": str(self.cache / "bytecode"),
            },
        )


def make(cache: Path) -> Setup:
    """Make what can be made: all on the same version of Python and of aiohttp.

    Raises:
        Unavailable: Not even our own environment, or the floor's, can be made.
    """
    setup = Setup(cache)
    try:
        python = find_python(GATEWAY_PYTHON)
    except Unavailable as error:
        setup.absent[GATEWAY] = str(error)
        python = Path(sys.executable)
    aiohttp = _pinned("aiohttp")
    own = [f"{name} @ {(PACKAGES / name).as_uri()}" for name in _PACKAGES]
    # The packages for their metadata alone; their modules come from this checkout.
    setup.environments[OURS] = environment(cache, "client-ours", python, _needs(), alone=own)
    setup.environments[FLOOR] = environment(cache, "client-floor", python, [aiohttp])
    if GATEWAY not in setup.absent:
        try:
            needs = ["livepeer-gateway==1.0.0", aiohttp]
            setup.environments[GATEWAY] = environment(cache, GATEWAY, python, needs)
        except Unavailable as error:
            setup.absent[GATEWAY] = str(error)
    return setup


def _needs() -> list[str]:
    """What the client depends on, with what signs the jobs of direct calls."""
    trickle, client = (
        tomllib.loads((PACKAGES / name / "pyproject.toml").read_text())["project"]
        for name in _PACKAGES
    )
    needs: list[str] = [*client["dependencies"], *client["optional-dependencies"]["eth"]]
    needs += [*trickle["dependencies"], *trickle["optional-dependencies"]["cli"]]
    return list(dict.fromkeys(_pinned(need) for need in needs if not need.startswith("livepeer-")))


def _pinned(need: str) -> str:
    """A requirement in the version that this project is developed with."""
    found = re.match(r"([\w.-]+)(\[[^\]]*\])?", need)
    assert found is not None
    return f"{found[1]}{found[2] or ''}=={version(found[1])}"
