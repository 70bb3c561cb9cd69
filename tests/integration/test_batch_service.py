"""A batch runner under a network's load: capacity, tokens, drain, several model processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from livepeer.client import CapabilityUnavailable, ClientError, NoOrchestrator, RunnerError
from livepeer.runner import Pipeline, context
from livepeer.runner.spec import import_file

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from conftest import Network, Until
    from livepeer.client import Client

LIMIT_S = 20.0


class Held(Pipeline):
    """Answers its own name, those who wait for it when it lets them go."""

    def __init__(self, name: str = "held") -> None:
        self.name = name
        self.go = asyncio.Event()
        self.running = 0

    async def predict(self, wait: bool = False) -> str:
        self.running += 1
        try:
            if wait:
                async with asyncio.timeout(LIMIT_S):
                    await self.go.wait()
        finally:
            self.running -= 1
        return self.name


@asynccontextmanager
async def busy(pipeline: Held, client: Client, name: str, until: Until) -> AsyncGenerator[None]:
    """One call runs for as long as the context lasts."""
    pipeline.go.clear()
    call = asyncio.create_task(client.call(name, {"wait": True}))
    try:
        await until(lambda: pipeline.running == 1)
        yield
        pipeline.go.set()
        assert await call == pipeline.name
    finally:
        call.cancel()


async def test_a_full_capability_is_not_offered(
    network: Network, client: Client, until: Until
) -> None:
    pipeline = Held()
    async with network.serve(pipeline, concurrency=1, capability_capacity=1) as runner:
        for _ in range(2):
            async with busy(pipeline, client, runner.name, until):
                # A caller that asked for the terms a moment ago hears it from the runner.
                with pytest.raises((CapabilityUnavailable, RunnerError)) as caught:
                    await client.call(runner.name, {})
                assert caught.value.retryable
            assert await client.call(runner.name, {}) == "held"


async def test_a_runner_that_is_fuller_than_it_was_offered(
    network: Network, way: str, client: Client, until: Until
) -> None:
    pipeline = Held()
    async with network.serve(pipeline, concurrency=1, capability_capacity=4) as runner:
        async with busy(pipeline, client, runner.name, until):
            async with network.post_job(way, runner.name, b"{}") as answer:
                text = await answer.read()
                if way == "gateway":
                    assert (answer.status, text) == (200, b"")
                    assert "X-Orchestrator-Url" not in answer.headers
                else:
                    problem, told = json.loads(text), json.loads(answer.headers["X-Metadata"])
                    assert (answer.status, problem["type"]) == (503, "AtCapacity")
                    assert problem["retry_after"] == told["retry_after"] >= 1
            with pytest.raises(RunnerError if way == "direct" else NoOrchestrator) as caught:
                await client.call(runner.name, {})
            assert caught.value.retryable
        assert await client.call(runner.name, {}) == "held"


async def test_a_queue_is_waited_in(network: Network, client: Client, until: Until) -> None:
    pipeline = Held()
    async with network.serve(pipeline, concurrency=1, queue=1) as runner:
        async with busy(pipeline, client, runner.name, until):
            waits = asyncio.create_task(client.call(runner.name, {}))
            await asyncio.wait([waits], timeout=0.2)
            assert not waits.done()
        assert await waits == "held"


@pytest.mark.second
async def test_another_orchestrator_is_asked_where_one_is_full(
    network: Network, way: str, until: Until
) -> None:
    first, second = Held("first"), Held("second")
    others = [network.second] if way == "direct" else []
    caller = network.client(*others) if way == "direct" else network.gateway_client()
    options: dict[str, Any] = {"concurrency": 1, "capability_capacity": 4}
    async with (
        network.serve(first, **options) as runner,
        network.serve(second, name=runner.name, orch_url=network.second, **options),
        caller as client,
        network.client() as direct,
    ):
        async with busy(first, direct, runner.name, until):
            # Often enough that a gateway comes to the full one first.
            for _ in range(4):
                async with client.open_call(runner.name, {}) as answer:
                    assert await answer.json() == "second"
                    assert answer.orchestrator_url == network.second
            async with network.client(network.second) as both:
                call = asyncio.create_task(both.call(runner.name, {"wait": True}))
                await until(lambda: second.running == 1)
                with pytest.raises(NoOrchestrator) as caught:
                    await client.call(runner.name, {})
                second.go.set()
                assert await call == "second"
            assert caught.value.retryable
            if way == "direct":
                assert [cause.status for cause in caught.value.causes] == [503, 503]
        assert await client.call(runner.name, {}) in ("first", "second")


async def test_the_last_one_to_register_a_capability_has_it(
    network: Network, client: Client
) -> None:
    async with network.serve(Held("old")) as old:
        assert await client.call(old.name, {}) == "old"
        async with network.serve(Held("new"), name=old.name):
            assert await client.call(old.name, {}) == "new"


class Asks(Pipeline):
    """Sync work that looks now and then whether anybody waits."""

    def __init__(self) -> None:
        self.running = False
        self.left = False

    def predict(self, wait: bool = True) -> str:
        self.running = True
        until = time.monotonic() + LIMIT_S
        while wait and not self.left and time.monotonic() < until:
            self.left = context.cancelled()
            time.sleep(0.005)
        return "well"


async def test_work_that_nobody_waits_for_ends(
    network: Network, client: Client, until: Until
) -> None:
    pipeline = Asks()
    async with network.serve(pipeline, concurrency=1) as runner:
        call = asyncio.create_task(client.call(runner.name, {}))
        await until(lambda: pipeline.running)
        call.cancel()
        await until(lambda: pipeline.left)

        async def is_served() -> bool:
            try:
                return await client.call(runner.name, {"wait": False}) == "well"
            except (RunnerError, NoOrchestrator) as error:
                if not error.retryable:
                    raise
                return False

        await until(is_served)


async def register(network: Network, **capability: object) -> None:
    """A registration by somebody else's hand."""
    headers = {"Authorization": network.secret}
    url = network.orchestrator + "/capability/register"
    async with (
        network.http() as http,
        http.post(url, json={"capacity": 4, **capability}, headers=headers) as answer,
    ):
        assert answer.status == 200


async def test_a_token_that_is_not_the_runners_costs_it_its_capability(
    network: Network, way: str, client: Client, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    pipeline = Held()
    async with network.serve(pipeline, token_file=token) as runner:
        assert await client.call(runner.name, {}) == "held"
        await register(network, name=runner.name, url=runner.url, token="another")
        with pytest.raises(NoOrchestrator if way == "gateway" else ClientError) as caught:
            await client.call(runner.name, {})
        assert caught.value.retryable
        with pytest.raises(CapabilityUnavailable):
            await client.call(runner.name, {})
        await register(network, name=runner.name, url=runner.url, token=token.read_text().strip())
        assert await client.call(runner.name, {}) == "held"
    # And by its own registrar, when it is started again.
    async with network.serve(pipeline, name=runner.name):
        assert await client.call(runner.name, {}) == "held"


@pytest.mark.parametrize("made", [True, False])
async def test_a_runner_with_a_token_of_its_operators_is_served(
    network: Network, client: Client, made: bool
) -> None:
    options: dict[str, Any] = {"auth_token": "operators", "capability_token": made}
    async with network.serve(Held(), **options) as runner:
        for _ in range(2):
            assert await client.call(runner.name, {}) == "held"
        async with network.http() as http:
            for bearer, status in (("operators", 200), ("guess", 401), ("", 401)):
                headers = {"Authorization": f"Bearer {bearer}"}
                url = runner.url + "/predict"
                async with http.post(url, json={}, headers=headers) as answer:
                    assert answer.status == status


PROGRAM = """
import os, time
from pathlib import Path
from livepeer.runner import Pipeline, serve

class Slow(Pipeline):
    def _work(self, go: str):
        Path(go).with_suffix(".began").touch()
        until = time.monotonic() + 20
        while not Path(go).exists() and time.monotonic() < until:
            time.sleep(0.01)

class Plain(Slow):
    def predict(self, go: str) -> int:
        self._work(go)
        return os.getpid()

class Items(Slow):
    def predict(self, go: str):
        yield 0
        self._work(go)
        yield 1

if __name__ == "__main__":
    serve({kind})
"""


class Program:
    """A runner that is a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""

    async def wait_for(self, pattern: str) -> None:
        assert self.process.stderr is not None
        async with asyncio.timeout(LIMIT_S):
            while not re.search(pattern, self.said):
                line = await self.process.stderr.readline()
                assert line, self.said
                self.said += line.decode()

    async def end(self) -> int:
        async with asyncio.timeout(LIMIT_S):
            _, err = await self.process.communicate()
        self.said += err.decode()
        return self.process.returncode or 0


def script(folder: Path, kind: str) -> Path:
    path = folder / "slow.py"
    path.write_text(PROGRAM.replace("{kind}", kind))
    return path


@asynccontextmanager
async def program(network: Network, path: Path, name: str) -> AsyncGenerator[Program]:
    options = {
        "log_format": "text",
        "host": "127.0.0.1",
        "port": 0,
        "orch_url": network.orchestrator,
        "orch_token": network.secret,
        "orch_tls_verify": not network.insecure,
        "capability_name": name,
        "concurrency": 2,
        "capability_capacity": 4,
    }
    given = {f"LIVEPEER_{key.upper()}": str(value) for key, value in options.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(path), env={**os.environ, **given}, stderr=asyncio.subprocess.PIPE
    )
    made = Program(process)
    try:
        await made.wait_for(rf"\bregistered {name}")
        yield made
    finally:
        if process.returncode is None:
            process.kill()
            await made.end()


async def collected(client: Client, kind: str, name: str, payload: dict[str, Any]) -> list[object]:
    if kind == "Plain":
        return [await client.call(name, payload)]
    return [item async for item in client.call_events(name, payload)]


@pytest.mark.parametrize("kind", ["Plain", "Items"])
async def test_a_drain_finishes_what_runs_and_nothing_more_comes(
    network: Network, client: Client, until: Until, tmp_path: Path, kind: str
) -> None:
    name, go = f"drained-{os.getpid()}-{time.monotonic_ns()}", tmp_path / "go"
    async with program(network, script(tmp_path, f"{kind}()"), name) as runner:
        call = asyncio.create_task(collected(client, kind, name, {"go": str(go)}))
        await until(lambda: go.with_suffix(".began").exists())
        runner.process.send_signal(signal.SIGTERM)
        await runner.wait_for(f"unregistered {name}")
        with pytest.raises(CapabilityUnavailable):
            await client.call(name, {"go": str(go)})
        assert not call.done()
        go.touch()
        assert await call == ([runner.process.pid] if kind == "Plain" else [0, 1])
        assert await runner.end() == 0
        with pytest.raises(CapabilityUnavailable):
            await client.call(name, {"go": str(go)})


async def test_a_runner_that_is_killed_is_missed_at_once(
    network: Network, way: str, client: Client, until: Until, tmp_path: Path
) -> None:
    name, go = f"killed-{os.getpid()}-{time.monotonic_ns()}", tmp_path / "go"
    async with program(network, script(tmp_path, "Plain()"), name) as runner:
        call = asyncio.create_task(client.call(name, {"go": str(go)}))
        await until(lambda: go.with_suffix(".began").exists())
        runner.process.kill()
        with pytest.raises(NoOrchestrator if way == "gateway" else ClientError) as caught:
            await call
        assert caught.value.retryable
        with pytest.raises(CapabilityUnavailable):
            await client.call(name, {"go": str(go)})


async def test_several_model_processes_behind_one_registration(
    network: Network, way: str, client: Client, until: Until, tmp_path: Path
) -> None:
    path = script(tmp_path, "Plain")
    options: dict[str, Any] = {"workers": 2, "concurrency": 1, "capability_capacity": 4}
    plain, items = (getattr(import_file(path), kind) for kind in ("Plain", "Items"))
    async with network.serve(plain, **options) as runner:
        gos = [tmp_path / f"go{n}" for n in range(2)]
        calls = [asyncio.create_task(client.call(runner.name, {"go": str(go)})) for go in gos]
        await until(lambda: all(go.with_suffix(".began").exists() for go in gos))
        with pytest.raises(RunnerError if way == "direct" else NoOrchestrator) as caught:
            await client.call(runner.name, {"go": str(gos[0])})
        assert caught.value.retryable
        for go in gos:
            go.touch()
        pids = await asyncio.gather(*calls)
        assert len({str(os.getpid()), *map(str, pids)}) == 3
        with pytest.raises(RunnerError) as wrong:
            await client.call(runner.name, {"go": 1})
        assert wrong.value.status == 422
    async with network.serve(items, **options) as runner:
        payload = {"go": str(gos[0])}
        assert [item async for item in client.call_events(runner.name, payload)] == [0, 1]
