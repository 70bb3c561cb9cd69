"""What the tests of these examples share: a local network, and an example as a process of its own.

Each example is run as its reader would run it, against a runner behind a real orchestrator.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from livepeer.runner._local.network import LocalNetwork
from livepeer.runner.testing import serve

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import ModuleType

HERE = Path(__file__).parent
LIMIT_S = 40


@dataclass(frozen=True)
class Ended:
    """An example that was run to its end."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """What it says went wrong, which is to be one line."""
        assert self.status == 1
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1
        return self.err


Begin = Callable[..., Awaitable[asyncio.subprocess.Process]]
Run = Callable[..., Awaitable[Ended]]


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    """Starts an example by its name."""

    async def begin(name: str, *arguments: object) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, str(HERE / f"{name}.py"), *map(str, arguments)),
            # What it remembers of certificates is not the user's.
            env={**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    return begin


@pytest.fixture
def run(begin: Begin) -> Run:
    """Runs an example by its name to its end."""

    async def run(name: str, *arguments: object) -> Ended:
        process = await begin(name, *arguments)
        try:
            async with asyncio.timeout(LIMIT_S):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())

    return run


Network = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture
def network() -> Network:
    """Puts a runner example on a local network of its own."""

    @asynccontextmanager
    async def network(
        example: str, name: str, *, local: LocalNetwork | None = None, **settings: Any
    ) -> AsyncGenerator[str]:
        """The class `name` of an example, served; the orchestrator's URL."""
        pipeline = getattr(load(example), name)
        own = {"capability_name": example.replace("_", "-"), "stats_interval_s": 0.25}
        async with local or LocalNetwork() as nodes:
            settings = {**own, "orch_url": nodes.orchestrator_url, **settings}
            async with serve(pipeline, **settings) as server:
                await server.wait_registered()
                yield nodes.orchestrator_url

    return network


def load(example: str) -> ModuleType:
    """The pipeline of a runner example."""
    path = HERE.parent / "runner" / example / "pipeline.py"
    spec = importlib.util.spec_from_file_location(f"client_examples_{example}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
