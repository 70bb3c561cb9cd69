"""Which subjects there are on this machine, and how their servers are started."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from _face import setups
from _face.environments import Environment, Unavailable, environment
from _face.processes import Child
from _face.setups import BENCHMARKS, needs, own, pinned

from . import cog

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OURS, FLOOR, LITSERVE, BENTOML, COG = "ours", "floor", "litserve", "bentoml", "cog"
PEERS = (LITSERVE, BENTOML, COG)
HEALTH = {OURS: "/health", FLOOR: "/health", LITSERVE: "/health", BENTOML: "/readyz"}
HEALTH[COG] = "/health-check"

PILLOW = "pillow==13.0.0"

_PACKAGES = ("livepeer-trickle", "livepeer-runner")


class Setup(setups.Setup):
    """What can be measured here, and how its servers are started."""

    def server(self, subject: str, work: str, concurrency: int, port: int) -> Child:
        """A server that begins to start.

        Raises:
            Unavailable: The subject cannot do such a work.
        """
        if subject == COG:
            return self._cog(work, concurrency, port)
        if subject == BENTOML:
            return self._bentoml(work, concurrency, port)
        module = ["-m", f"_batch.subjects.{subject}", work, str(concurrency), str(port)]
        return self._run(subject, module)

    def helper(self, *module: str) -> Child:
        """A process of ours that is not measured."""
        return self._run(OURS, ["-m", *module])

    def _bentoml(self, work: str, concurrency: int, port: int) -> Child:
        command = ["-m", "bentoml", "serve", "_batch.subjects.bentoml:Service"]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        return self._run(
            BENTOML,
            command,
            BENCHMARK_WORK=work,
            BENCHMARK_CONCURRENCY=str(concurrency),
            BENTOML_DO_NOT_TRACK="True",
            BENTOML_HOME=str(self.cache / "bentoml-home"),
        )

    def _cog(self, work: str, concurrency: int, port: int) -> Child:
        """Cog is told by its environment, and by a file in the folder that it starts in."""
        if (why := cog.unable(work, concurrency)) is not None:
            raise Unavailable(why)
        folder = self.cache / "cog-home" / work
        cog.write_schema(folder, work)
        runner = BENCHMARKS / "_batch" / "subjects" / "cog_runner.py"
        return self._run(
            COG,
            ["-m", "cog.server.http", "--host", "127.0.0.1"],
            folder,
            PORT=str(port),
            COG_PREDICT_TYPE_STUB=f"{runner}:{cog.CLASSES[work]}",
            COG_MAX_CONCURRENCY=str(concurrency),
            COG_LOG_LEVEL="error",
        )

    def _run(
        self, name: str, arguments: list[str], folder: Path | None = None, **more: str
    ) -> Child:
        # Some look at, or write into, the folder that they are started in.
        where = folder or self.cache / "home"
        where.mkdir(parents=True, exist_ok=True)
        python = self.environments[name].python
        return Child(
            ["env", "-C", str(where), str(python), *arguments],
            {
                # Cog starts its worker by the bare name of the interpreter.
                "PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", "")]),
                **self.variables(*(_PACKAGES if name == OURS else ())),
                **more,
            },
        )


def make(cache: Path, peers: Iterable[str]) -> Setup:
    """Make what can be made.

    Raises:
        Unavailable: Not even our own environment, or the floor's, can be made.
    """
    setup = Setup(cache)
    setup.environments |= {OURS: _ours(cache), FLOOR: _floor(cache)}
    requirements = {
        LITSERVE: ["litserve==0.2.19", *pinned("fastapi"), "python-multipart"],
        BENTOML: ["bentoml==1.4.39", *pinned("pydantic")],
        COG: ["cog==0.23.1"],
    }
    for name in peers:
        with setup.allowed(name):
            setup.environments[name] = _environment(cache, name, *requirements[name])
    return setup


def _ours(cache: Path) -> Environment:
    """What an author gets who installs the runner; its modules come from this checkout."""
    trickle, runner = _PACKAGES
    installed = pinned(*needs(runner), *needs(trickle, "cli", "media"))
    return _environment(cache, OURS, *installed, alone=own(*_PACKAGES))


def _floor(cache: Path) -> Environment:
    installed = pinned("fastapi", "uvicorn[standard]", "pydantic", "starlette")
    return _environment(cache, FLOOR, *installed, "python-multipart")


def _environment(
    cache: Path, name: str, *requirements: str, alone: Sequence[str] = ()
) -> Environment:
    installed = [*requirements, PILLOW]
    return environment(cache, f"batch-{name}", Path(sys.executable), installed, alone=alone)
