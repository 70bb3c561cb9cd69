"""Model processes for a test."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from livepeer.runner import Settings
from livepeer.runner._context import Call
from livepeer.runner._server.pool.caller import PoolCaller
from livepeer.runner.state import PipelineState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

MODELS = Path(__file__).with_name("models.py")


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what another process does sets no event here
            await asyncio.sleep(0.005)


class Lab:
    """A pool of one class."""

    def __init__(self, caller: PoolCaller, notes: Path) -> None:
        self.caller = caller
        self._notes = notes

    @property
    def notes(self) -> list[str]:
        """What the model processes noted, without their numbers."""
        return [line.partition(" ")[2] for line in self._notes.read_text().splitlines()]

    @property
    def pids(self) -> list[int | None]:
        """The processes that can be used, by number."""
        return [report.pid for report in self.caller.reports()]

    async def ask(self, do: str = "pid", n: int = 0, request_id: str = "r") -> Any:
        return await self.send({"do": do, "n": n}, request_id)

    async def send(self, body: dict[str, Any], request_id: str = "r") -> Any:
        data = json.dumps(body).encode()
        answered = await self.caller.call(0, data, "application/json", Call(request_id))
        assert answered.media_type == "application/json"
        return json.loads(answered.body)

    async def items(self, **body: Any) -> AsyncGenerator[int, None]:
        data = json.dumps(body).encode()
        batches = self.caller.stream(0, data, "", Call("r"))
        try:
            async for batch in batches:
                for item in batch:
                    yield json.loads(item)
        finally:
            await batches.aclose()

    async def until(self, condition: Callable[[], bool]) -> None:
        await _until(condition)

    def hold(self, what: str) -> None:
        """From now on `starting` processes, or calls at `working`, wait for `let_go`."""
        self._notes.with_name(what).touch()

    def let_go(self, what: str) -> None:
        self._notes.with_name(what).unlink()

    async def all_ready(self) -> None:
        await self.until(
            lambda: all(report.state is PipelineState.OK for report in self.caller.reports())
        )


class MakeLab(Protocol):
    def __call__(self, name: str, **options: Any) -> AbstractAsyncContextManager[Lab]: ...


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where model processes write down what happened."""
    path = tmp_path / "notes"
    path.touch()
    monkeypatch.setenv("TEST_NOTES", str(path))
    return path


@pytest.fixture
def lab(notes: Path) -> MakeLab:
    """`async with lab("Class", **settings) as it:` model processes that are ready."""

    @asynccontextmanager
    async def make(name: str, **options: Any) -> AsyncGenerator[Lab, None]:
        given = {"workers": 2, "restart_backoff_s": 0.05, **options}
        caller = PoolCaller(f"{MODELS}:{name}", Settings(**given))
        try:
            await caller.setup()
            made = Lab(caller, notes)
            await made.until(
                lambda: all(one.state is not PipelineState.LOADING for one in caller.reports())
            )
            yield made
        finally:
            await caller.close()

    return make


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Coroutine[None, None, None]]:
    """Wait for what comes true in another process."""
    return _until


@pytest.fixture
def runs() -> Callable[[int], bool]:
    """Whether a process does, and is no zombie."""

    def look(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"

    return look
