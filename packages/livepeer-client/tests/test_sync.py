"""The synchronous client: without a loop, within one, and when it is interrupted."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from livepeer.client import (
    BYOCJobRequest,
    Capability,
    ClientError,
    ConfigError,
    RunnerError,
    StreamSettings,
    SyncClient,
)
from livepeer.client.testing import FakeCapability, fake_gateway, fake_orchestrator
from livepeer.trickle import JSONLPublisher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from conftest import Runner
    from livepeer.client.testing import FakeGateway

ECHO = Capability("echo", dict[str, int], dict[str, str])


@pytest.fixture
async def gateway(capabilities: dict[str, FakeCapability]) -> AsyncIterator[FakeGateway]:
    async with fake_orchestrator(capabilities) as node, fake_gateway([node]) as gateway:
        yield gateway


async def test_calls(gateway: FakeGateway, tmp_path: Path) -> None:
    def work() -> None:
        with SyncClient(gateway=gateway.url) as client:
            assert client.call("echo", {"a": 1}) == {"path": "/predict", "got": '{"a":1}'}
            assert client.call(ECHO, {"a": 2})["got"] == '{"a":2}'
            assert list(client.call_events("echo", route="events")) == [{"i": n} for n in range(3)]
            with client.open_call("echo", route="image") as answer:
                assert answer.save(tmp_path / "a.png") == 6
            with client.open_call("echo") as answer:
                assert answer.json() == {"path": "/predict", "got": "{}"}
            with client.open_call("echo", route="events") as answer:
                assert answer.is_events
                assert next(answer.items()) == {"i": 0}
            with pytest.raises(RunnerError, match="422"):
                client.call("echo", route="invalid")
        with pytest.raises(RuntimeError, match="closed"):
            client.call("echo")

    # The fake nodes run on this thread's loop.
    await asyncio.to_thread(work)


async def test_a_stream(gateway: FakeGateway, runner: Runner) -> None:
    loop = asyncio.get_running_loop()

    async def publish() -> None:
        async with JSONLPublisher(runner.starts()["data_url"]) as data:
            await data.publish({"n": 1})

    def work() -> None:
        client = SyncClient(gateway=gateway.url)
        with client.start_stream("echo", params={"p": 1}) as job:
            assert job.update({"q": 2}) == {"path": "/stream/params", "got": '{"q":2}'}
            asyncio.run_coroutine_threadsafe(publish(), loop).result(20)
            assert next(job.data()) == {"n": 1}
            assert job.end is None
        assert job.end is not None
        settings = StreamSettings(keep_alive_s=1)
        left = client.start(BYOCJobRequest(capability="echo"), settings=settings)
        client.close()
        client.close()
        assert left.end is not None

    await asyncio.to_thread(work)
    assert runner.starts()["params"] is None
    assert runner.paths().count("/stream/start") == 2
    assert "/stream/stop" in runner.paths()


async def test_within_a_loop_that_runs(gateway: FakeGateway) -> None:
    """As in a notebook, whose cells run on a loop; the node is a process's, not this loop's."""
    code = """
import asyncio, sys
from livepeer.client import SyncClient
async def cell():
    client = SyncClient(gateway=sys.argv[1])
    print(client.call("echo", {"a": 1})["got"])
    print(sum(1 for _ in client.call_events("echo", route="events")))
    # And it is not closed: the end of the program has to be enough.
asyncio.run(cell())
"""
    command = [sys.executable, "-W", "error", "-c", code, gateway.url]
    ran = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, '{"a":1}\n3\n', "")


async def test_an_interrupt_ends_the_call_and_not_the_client(
    gateway: FakeGateway, runner: Runner
) -> None:
    code = """
import sys
from livepeer.client import SyncClient
with SyncClient(gateway=sys.argv[1]) as client:
    try:
        client.call("echo", route="slow")
    except KeyboardInterrupt:
        print(client.call("echo", 7)["got"])
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, gateway.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    await asyncio.wait_for(runner.started.wait(), 20)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, json.loads(out), err) == (0, 7, b"")
    runner.go_on.set()


async def test_closing_ends_what_another_thread_waits_for(
    gateway: FakeGateway, runner: Runner
) -> None:
    client = SyncClient(gateway=gateway.url)
    waiting = asyncio.create_task(asyncio.to_thread(client.call, "echo", route="slow"))
    await asyncio.wait_for(runner.started.wait(), 20)
    await asyncio.to_thread(client.close)
    with pytest.raises(RuntimeError, match="the client was closed"):
        await asyncio.wait_for(waiting, 20)
    runner.go_on.set()


async def test_a_callback_must_not_wait_for_the_client(gateway: FakeGateway) -> None:
    def work() -> None:
        with SyncClient(gateway=gateway.url) as client:
            with pytest.raises(RuntimeError, match="callback"):
                client.call("echo", on_progress=lambda _: client.call("echo"))
            assert client.call("echo", 1) == {"path": "/predict", "got": "1"}

    await asyncio.to_thread(work)


def test_what_cannot_be_opened_leaves_nothing() -> None:
    with pytest.raises(ConfigError, match="nobody to call"):
        SyncClient()
    with SyncClient(gateway="http://127.0.0.1:9") as client, pytest.raises(ClientError):
        client.call("echo")
    assert "127.0.0.1:9" in repr(client)


async def test_the_end_of_a_program_stops_its_streams(gateway: FakeGateway, runner: Runner) -> None:
    """By a name, which is looked up in a thread: no pool takes work when `atexit` is called."""
    code = """
import sys
from livepeer.client import SyncClient
client = SyncClient(gateway=sys.argv[1])
client.start_stream("echo")
"""
    url = gateway.url.replace("127.0.0.1", "localhost")
    command = [sys.executable, "-W", "error", "-c", code, url]
    ran = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "/stream/stop" in runner.paths()


async def test_what_is_given_up_is_closed_by_nobody_that_waits(
    gateway: FakeGateway, runner: Runner
) -> None:
    def work() -> None:
        client = SyncClient(gateway=gateway.url)
        job = client.start_stream("echo")
        abandoned = client.call_events("echo", route="events/slow")
        assert next(abandoned) == {"i": 0}
        loop = client._life.loop()
        # As where the garbage collector finds it while a call holds the lock.
        with loop._lock:
            del abandoned
        half = client.call_events("echo", route="events/slow")
        assert next(half) == {"i": 0}
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            next(half)
        job.stop()
        with job:
            pass

    await asyncio.wait_for(asyncio.to_thread(work), 20)
    runner.go_on.set()
