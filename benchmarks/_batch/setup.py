"""Which subjects there are on this machine, and how their servers are started."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

from _face.environments import Environment, Unavailable, environment
from _face.processes import Child

from . import cog

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARKS = Path(__file__).parents[1]
PACKAGES = BENCHMARKS.parent / "packages"
OURS, FLOOR, LITSERVE, BENTOML, COG = "ours", "floor", "litserve", "bentoml", "cog"
SUBJECTS = (OURS, FLOOR, LITSERVE, BENTOML, COG)
HEALTH = {OURS: "/health", FLOOR: "/health", LITSERVE: "/health", BENTOML: "/readyz"}
HEALTH[COG] = "/health-check"

PILLOW = "pillow==13.0.0"


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
        paths = [str(BENCHMARKS)]
        if name == OURS:
            paths += [str(PACKAGES / package / "src") for package in _PACKAGES]
        # Some look at, or write into, the folder that they are started in.
        where = folder or self.cache / "home"
        where.mkdir(parents=True, exist_ok=True)
        python = self.environments[name].python
        return Child(
            ["env", "-C", str(where), str(python), *arguments],
            {
                # Cog starts its worker by the bare name of the interpreter.
                "PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", "")]),
                "PYTHONPATH": os.pathsep.join(paths),
                "PYTHONPYCACHEPREFIX": str(self.cache / "bytecode"),
                **more,
            },
        )


_PACKAGES = ("livepeer-trickle", "livepeer-runner")


def make(cache: Path, subjects: list[str]) -> Setup:
    """Make what can be made.

    Raises:
        Unavailable: Not even our own environment, or the floor's, can be made.
    """
    setup = Setup(cache)
    makers: dict[str, Callable[[Path], Environment]] = {
        OURS: _ours,
        FLOOR: _floor,
        LITSERVE: lambda cache: _peer(
            cache, LITSERVE, "litserve==0.2.19", _pinned("fastapi"), "python-multipart"
        ),
        BENTOML: lambda cache: _peer(cache, BENTOML, "bentoml==1.4.39", _pinned("pydantic")),
        COG: lambda cache: _peer(cache, COG, "cog==0.23.1"),
    }
    for name in subjects:
        try:
            setup.environments[name] = makers[name](cache)
        except Unavailable as error:
            if name in (OURS, FLOOR):
                raise
            setup.absent[name] = str(error)
    return setup


def _ours(cache: Path) -> Environment:
    """What an author gets who installs the runner; its modules come from this checkout."""
    needs = [_pinned(need) for need in _needs() if not need.startswith("livepeer-")]
    # For their metadata alone, which the service reads its version from.
    own = [f"{name} @ {(PACKAGES / name).as_uri()}" for name in _PACKAGES]
    return environment(cache, "batch-ours", Path(sys.executable), [*needs, PILLOW], alone=own)


def _needs() -> list[str]:
    """What the runner depends on, and what its transport does with the extras that it takes."""
    trickle, runner = (
        tomllib.loads((PACKAGES / name / "pyproject.toml").read_text())["project"]
        for name in _PACKAGES
    )
    needs: list[str] = [*runner["dependencies"], *trickle["dependencies"]]
    for extra in ("cli", "media"):
        needs += cast("dict[str, list[str]]", trickle["optional-dependencies"])[extra]
    return list(dict.fromkeys(needs))


def _floor(cache: Path) -> Environment:
    needs = [_pinned(name) for name in ("fastapi", "uvicorn[standard]", "pydantic", "starlette")]
    needs += ["python-multipart", PILLOW]
    return environment(cache, "batch-floor", Path(sys.executable), needs)


def _peer(cache: Path, name: str, *needs: str) -> Environment:
    return environment(cache, f"batch-{name}", Path(sys.executable), [*needs, PILLOW])


def _pinned(need: str) -> str:
    """A requirement in the version that this project is developed with."""
    found = re.match(r"([\w.-]+)(\[[^\]]*\])?", need)
    assert found is not None
    return f"{found[1]}{found[2] or ''}=={version(found[1])}"
