"""Which subjects there are on this machine, and how their processes are started."""

from __future__ import annotations

import sys
from pathlib import Path

from _face import setups
from _face.environments import environment, find_python
from _face.processes import Child
from _face.setups import needs, own, pinned

OURS, FLOOR, GATEWAY = "ours", "floor", "gateway"
JSON = "aiohttp_json"
"""The floor with JSON in and out, which an application has to do as well."""

GATEWAY_PYTHON = "3.12"
"""Its package refuses older ones; all run on the same."""

_PACKAGES = ("livepeer-trickle", "livepeer-client")


class Setup(setups.Setup):
    """What can be measured here, and how its processes are started."""

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
        name = FLOOR if name == JSON else name
        return Child(
            [str(self.environments[name].python), "-m", *module],
            self.variables(*(_PACKAGES if name == OURS else ())),
        )


def make(cache: Path) -> Setup:
    """Make what can be made: all on the same version of Python and of aiohttp.

    Raises:
        Unavailable: Not even our own environment, or the floor's, can be made.
    """
    setup = Setup(cache)
    python = Path(sys.executable)
    with setup.allowed(GATEWAY):
        python = find_python(GATEWAY_PYTHON)
    trickle, client = _PACKAGES
    # With what signs the jobs of direct calls.
    installed = pinned(*needs(client, "eth"), *needs(trickle, "cli"))
    aiohttp = pinned("aiohttp")
    setup.environments |= {
        OURS: environment(cache, "client-ours", python, installed, alone=own(*_PACKAGES)),
        FLOOR: environment(cache, "client-floor", python, aiohttp),
    }
    if GATEWAY not in setup.absent:
        with setup.allowed(GATEWAY):
            needed = ["livepeer-gateway==1.0.0", *aiohttp]
            setup.environments[GATEWAY] = environment(cache, GATEWAY, python, needed)
    return setup
