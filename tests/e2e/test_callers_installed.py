"""What a caller has who installed `livepeer-client[cli]` and nothing else of ours."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from livepeer.runner import LivePipeline, Pipeline
from livepeer.runner._local.network import LocalNetwork
from livepeer.runner.testing import serve

from .command import CLIP, LIMIT_S, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.slow

NAMES = "start_byoc_job, BYOCJob, BYOCJobRequest, BYOCPaymentSession, PaymentRequiredError"
IMPORTS = f"""
import importlib.util
from livepeer.client import {NAMES}
assert importlib.util.find_spec("livepeer.runner") is None
print({NAMES})
"""


class Greeter(Pipeline):
    """Greets whoever asks."""

    def predict(self, name: str) -> str:
        return f"Hello, {name}!"


class Copy(LivePipeline):
    """Gives back what comes in."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    status: int
    out: str
    err: str


class Installed:
    """An environment with the wheels of livepeer-client[cli] and of livepeer-trickle.

    Args:
        home: An empty folder for it.
    """

    def __init__(self, home: Path) -> None:
        self._bin = home / "venv" / "bin"
        self._home = home
        # A PYTHONPATH of the caller's would let it see this checkout.
        apart = ("PYTHONPATH", "VIRTUAL_ENV")
        self._environment = {k: v for k, v in os.environ.items() if k not in apart}
        self._environment |= {"XDG_DATA_HOME": str(home / "data"), "COLUMNS": "200"}
        uv = os.environ.get("UV") or shutil.which("uv")
        assert uv, "uv is not on the PATH: pip install uv"
        self._uv = uv

    def make(self) -> None:
        """Build the wheels, and install them with the versions of the lock file."""
        wheels, pins = self._home / "dist", self._home / "pins.txt"
        for name in ("trickle", "client"):
            self._run("build", "--wheel", "--no-sources", "--python", sys.executable,
                      "--package", f"livepeer-{name}", "--out-dir", str(wheels))  # fmt: skip
        self._run("export", "--frozen", "--quiet", "--package", "livepeer-client", "--all-extras",
                  "--no-dev", "--no-hashes", "--no-emit-workspace",
                  "--output-file", str(pins))  # fmt: skip
        (trickle,) = wheels.glob("livepeer_trickle-*.whl")
        (client,) = wheels.glob("livepeer_client-*.whl")
        with pins.open("a") as lines:
            lines.write(f"livepeer-trickle @ {trickle.as_uri()}\n")
        venv = self._bin.parent
        self._run("venv", "--quiet", "--no-project", "--python", sys.executable, str(venv))
        self._run("pip", "install", "--quiet", "--python", str(venv), "--constraint", str(pins),
                  f"livepeer-client[cli] @ {client.as_uri()}")  # fmt: skip

    def _run(self, *arguments: str) -> None:
        subprocess.run([self._uv, *arguments], cwd=REPOSITORY, env=self._environment, check=True)

    async def __call__(self, program: str, *arguments: object) -> Ended:
        """Run a program of it to its end, in its folder."""
        process = await asyncio.create_subprocess_exec(
            *(str(self._bin / program), *map(str, arguments)),
            cwd=self._home,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return Ended(status=process.returncode, out=out.decode(), err=err.decode())


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    made = Installed(tmp_path_factory.mktemp("installed"))
    made.make()
    return made


@pytest.fixture
async def orchestrator() -> AsyncIterator[str]:
    async with LocalNetwork(charge=True) as network:
        at: dict[str, Any] = {"orch_url": network.orchestrator_url, "stats_interval_s": 0.1}
        async with (
            serve(Greeter(), capability_name="greeter", **at) as greeter,
            serve(Greeter(), capability_name="priced", capability_price=10, **at) as priced,
            serve(Copy(), capability_name="copy", **at) as copy,
        ):
            for runner in (greeter, priced, copy):
                await runner.wait_registered()
            yield network.orchestrator_url


async def test_the_commands_and_names_are_there(
    installed: Installed, orchestrator: str, tmp_path: Path
) -> None:
    at = ("--orchestrator", orchestrator)
    key = tmp_path / "key"
    key.write_text("0x" + "42" * 32)
    pays = ("--key-file", key, "--max-spend", 10**6)

    async def livepeer(*arguments: object) -> str:
        ended = await installed("livepeer", *arguments)
        assert ended.status == 0, ended.err
        return ended.out

    imported = await installed("python", "-I", "-c", IMPORTS)
    assert imported.status == 0, imported.err
    for paying in (("greeter",), ("priced", *pays)):
        answer = await livepeer("call", *paying, '{"name": "Ada"}', *at)
        assert answer == '"Hello, Ada!"\n'
    (terms,) = json.loads(await livepeer("token", "priced", *at, "--json"))
    assert terms["price_per_s"] == 10
    (told,) = json.loads(await livepeer("discover", *at, "--json"))
    assert told["url"] == orchestrator
    models, output = tmp_path / "models.py", tmp_path / "out.mp4"
    await livepeer("stub", "greeter", *at, "--output", models)
    assert "GREETER" in models.read_text()
    media = ("--input", CLIP, "--output", output, "--fast", "--json")
    streamed = await livepeer("stream", "copy", *media, *at)
    assert json.loads(streamed)["frames_out"] == 132
    assert output.stat().st_size
    unpaid = await installed("livepeer", "call", "priced", "{}", *at)
    assert (unpaid.status, unpaid.out) == (1, "")
    assert "10 wei" in unpaid.err
    assert "Traceback" not in unpaid.err
