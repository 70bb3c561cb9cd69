"""`/health` for people, and `/ready`: why, since when, how busy, how far."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from livepeer.runner import LivePipeline, Pipeline
from livepeer.runner._context import context
from livepeer.runner._server.progress import Progress
from livepeer.runner.testing import serve

if TYPE_CHECKING:
    from collections.abc import Callable


class Held(Pipeline):
    """Its `setup()` tells of its progress, and it and `predict()` wait to be let go."""

    def __init__(self) -> None:
        self.loaded, self.answer = threading.Event(), threading.Event()

    def setup(self) -> None:
        context.progress("weights", 0.25)
        context.progress("weights", 0.5)
        assert self.loaded.wait(20)

    def predict(self, n: int = 0) -> int:
        assert self.answer.wait(20)
        return n


class AsyncHeld(Pipeline):
    def __init__(self) -> None:
        self.loaded = asyncio.Event()

    async def setup(self) -> None:
        context.progress("compiling")
        await self.loaded.wait()

    async def predict(self) -> str:
        return "ok"


class Sick(Pipeline):
    """Says what the test wants it to say of itself."""

    def __init__(self, says: Callable[[], object]) -> None:
        self.says = says

    def healthcheck(self) -> Any:
        return self.says()

    def predict(self) -> str:
        return "ok"


class AsyncSick(Sick):
    async def healthcheck(self) -> Any:
        return self.says()


class Relay(LivePipeline):
    pass


async def get(url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.json()


async def post(url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.post(url, json={}) as response:
        return response.status, await response.json()


async def until(url: str, accept: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(20):
        while not accept(health := (await get(url + "/health"))[1]):  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.01)
        return health


async def test_all_that_a_person_needs():
    async with serve(AsyncHeld(), ready=False, version="3.2.1", concurrency=4) as server:
        loading = await until(server.url, lambda health: "setup" in health)
        began = datetime.fromisoformat(loading.pop("since"))
        assert timedelta(0) <= datetime.now(UTC) - began < timedelta(seconds=10)
        assert loading == {
            "status": "LOADING",
            "version": "3.2.1",
            "load": {"running": 0, "waiting": 0, "slots": 4},
            "setup": {"message": "compiling"},
            "registration": "none",
        }


async def test_progress_of_a_sync_setup_is_shown_and_logged(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    held = Held()
    async with serve(held, ready=False) as server:
        loading = await until(server.url, lambda h: h.get("setup", {}).get("fraction") == 0.5)
        assert loading["setup"]["message"] == "weights"
        held.loaded.set()
        await server.wait_ready()
        assert "setup" not in (await get(server.url + "/health"))[1]
    assert "setup: weights (25%)" in [record.message for record in caplog.records]


def test_the_same_again_at_once_is_no_second_line(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    now = [0.0]
    progress = Progress(log_interval_s=1, clock=lambda: now[0])
    for fraction in (0.25, 0.5, 0.6):
        progress.report("weights", fraction)
    now[0] = 1.0
    progress.report("weights", 0.75)
    progress.report("compiling", float("nan"))
    progress.report("compiling", 1)
    said = [record.message.removeprefix("setup: ") for record in caplog.records]
    assert said == ["weights (25%)", "weights (75%)", "compiling", "compiling (100%)"]


async def test_a_setup_that_exits_has_failed():
    class Exits(Pipeline):
        async def setup(self) -> None:
            sys.exit(3)

        def predict(self) -> str:
            return "never"

    async with serve(Exits(), ready=False, setup_failure_linger_s=60) as server:
        health = await until(server.url, lambda health: health["status"] == "ERROR")
        assert health["message"] == "setup() raised SystemExit; the log says more"


async def test_since_is_when_the_state_began():
    held = AsyncHeld()
    async with serve(held, ready=False) as server:
        first = (await get(server.url + "/health"))[1]["since"]
        await asyncio.sleep(1.1)
        assert (await get(server.url + "/health"))[1]["since"] == first
        held.loaded.set()
        await server.wait_ready()
        ok = (await get(server.url + "/health"))[1]["since"]
        assert datetime.fromisoformat(ok) > datetime.fromisoformat(first)
        await asyncio.sleep(1.1)
        assert (await get(server.url + "/health"))[1]["since"] == ok


async def test_load_counts_what_runs_and_what_waits():
    held = Held()
    held.loaded.set()
    async with serve(held, concurrency=2, queue=1) as server, asyncio.TaskGroup() as group:
        calls = [group.create_task(post(server.url + "/predict")) for _ in range(3)]
        await until(server.url, lambda h: h["load"] == {"running": 2, "waiting": 1, "slots": 2})
        held.answer.set()
        assert [status for status, _ in await asyncio.gather(*calls)] == [200] * 3
        await until(server.url, lambda h: h["load"]["running"] == 0)


async def test_ready_is_503_until_ok():
    held = AsyncHeld()
    async with serve(held, ready=False) as server:
        async with (
            aiohttp.ClientSession() as session,
            session.get(server.url + "/ready") as response,
        ):
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
            answer = await response.json()
            assert (answer["type"], answer["retry_after"]) == ("PipelineNotReady", 1)
            assert "LOADING" in answer["detail"]
        held.loaded.set()
        await server.wait_ready()
        assert await get(server.url + "/ready") == (200, {"status": "OK"})


async def test_a_live_runner_is_ready_when_it_is_idle():
    async with serve(Relay(), capability_capacity=3) as server:
        assert await get(server.url + "/ready") == (200, {"status": "IDLE"})
        health = (await get(server.url + "/health"))[1]
        assert health["load"] == {"running": 0, "waiting": 0, "slots": 3}


async def test_a_healthcheck_makes_the_state_and_refuses_work(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    for kind in (Sick, AsyncSick):
        caplog.clear()
        answers: list[object] = ["the disk is full"]
        sick = kind(lambda answers=answers: answers[0])  # type: ignore[misc]
        async with serve(sick, healthcheck_interval_s=0.02) as server:
            health = (await get(server.url + "/health"))[1]
            assert (health["status"], health["message"]) == ("ERROR", "the disk is full")
            assert (await get(server.url + "/ready"))[0] == 503
            status, answer = await post(server.url + "/predict")
            assert (status, answer["detail"]) == (503, "the disk is full")
            answers[0] = True
            await until(server.url, lambda health: health["status"] == "OK")
            assert (await post(server.url + "/predict")) == (200, "ok")
            answers[0] = False
            ill = await until(server.url, lambda health: health["status"] == "ERROR")
            assert ill["message"] == "healthcheck() says no"
            answers[0] = None
            await until(server.url, lambda health: health["status"] == "OK")
        told = [record.message for record in caplog.records if "checkup" in record.name]
        assert len(told) == 4  # one for each change, however often it was asked


async def test_a_healthcheck_that_raises_is_no_good_sign():
    def broken() -> object:
        raise OSError("no device")

    async with serve(Sick(broken), healthcheck_interval_s=60) as server:
        health = (await get(server.url + "/health"))[1]
        assert health["message"] == "healthcheck() raised OSError: no device"


async def test_a_healthcheck_that_hangs_is_asked_once_and_keeps_nobody():
    go, asked = threading.Event(), 0

    def hangs() -> object:
        nonlocal asked
        asked += 1
        return None if go.wait(20) else "late"

    limits = {"healthcheck_interval_s": 0.02, "healthcheck_timeout_s": 0.05}
    async with serve(Sick(hangs), **limits) as server:
        health = (await get(server.url + "/health"))[1]
        assert health["message"] == "healthcheck() did not return within 0.05 s"
        await asyncio.sleep(0.3)
        assert asked == 1
        go.set()
        await until(server.url, lambda health: health["status"] == "OK")
        go.clear()
        await until(server.url, lambda health: health["status"] == "ERROR")
        began = time.monotonic()
    assert time.monotonic() - began < 15
    go.set()


async def test_a_long_call_is_no_illness():
    class Busy(Pipeline):
        def __init__(self) -> None:
            self.go = threading.Event()
            self.asked = 0

        def healthcheck(self) -> bool:
            self.asked += 1
            return True

        def predict(self) -> str:
            assert self.go.wait(30)
            return "ok"

    busy = Busy()
    limits = {"healthcheck_interval_s": 0.02, "healthcheck_timeout_s": 20}
    async with serve(busy, **limits) as server, asyncio.TaskGroup() as group:
        call = group.create_task(post(server.url + "/predict"))
        await until(server.url, lambda health: health["load"]["running"] == 1)
        asked = busy.asked
        await until(server.url, lambda _: busy.asked > asked + 1)
        assert (await get(server.url + "/health"))[1]["status"] == "OK"
        busy.go.set()
        assert await call == (200, "ok")


@pytest.mark.parametrize("live", [False, True])
async def test_head_is_answered_as_get_without_a_body(live: bool):
    pipeline = Relay() if live else AsyncHeld()
    async with serve(pipeline, ready=live) as server, aiohttp.ClientSession() as session:
        for path, status in (("/health", 200), ("/ready", 200 if live else 503)):
            async with (
                session.head(server.url + path) as head,
                session.get(server.url + path) as got,
            ):
                assert (head.status, got.status) == (status, status)
                assert head.headers["Content-Type"] == got.headers["Content-Type"]
                assert head.headers.get("Retry-After") == got.headers.get("Retry-After")
                assert await head.read() == b""
                assert await got.read() != b""
        async with session.get(server.url + "/openapi.json") as document:
            assert [*(await document.json())["paths"]["/health"]] == ["get"]
