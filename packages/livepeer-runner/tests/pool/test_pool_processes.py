"""What becomes of model processes, and of the calls in them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from livepeer.runner import Settings
from livepeer.runner._context import CURRENT, Call
from livepeer.runner._server.pool.caller import PoolCaller
from livepeer.runner.errors import OutOfMemory, PipelineDefinitionError, SetupFailed, StageAway
from livepeer.runner.state import PipelineState


async def test_one_that_is_killed_is_replaced_and_the_others_go_on(lab, caplog):
    async with lab("Works", workers=2) as it:
        first = asyncio.create_task(it.ask("sleeps", 30))
        await it.until(lambda: "sleeps" in it.notes)
        second = asyncio.create_task(it.ask("pid", 800))
        killed = it.pids[0]
        it.hold("starting")
        os.kill(killed, signal.SIGKILL)
        with pytest.raises(StageAway, match="SIGKILL"):
            await first
        assert await second == it.pids[1]
        assert it.caller.state is PipelineState.OK
        assert "1 of 2 model processes are ready" in it.caller.message
        it.let_go("starting")
        await it.all_ready()
        assert it.caller.message is None
        assert it.caller.reports()[0].restarts == 1
        assert {await it.ask(), await it.ask()} == set(it.pids)
        assert killed not in it.pids
    assert f"model process 0 (pid {killed}): the model process was ended by SIGKILL" in caplog.text


async def test_one_that_dies_of_a_call_takes_what_it_started_with_it(lab, runs):
    async with lab("Works", workers=1) as it:
        child = await it.ask("breeds")
        assert runs(child)
        it.hold("starting")
        with pytest.raises(StageAway):
            await it.ask("dies")
        await it.until(lambda: not runs(child))
        with pytest.raises(StageAway, match="0 of 1"):
            await it.ask()
        it.let_go("starting")
        await it.all_ready()
        assert await it.ask() == it.pids[0]


async def test_items_end_with_their_process(lab):
    async with lab("Counts", workers=1) as it:
        items = it.items(n=1000, wait_s=0.05)
        assert await anext(items) == 0
        os.kill(it.pids[0], signal.SIGKILL)
        with pytest.raises(StageAway, match="SIGKILL"):
            assert len([item async for item in items]) < 0


async def test_a_hang_past_the_deadline_ends_the_process(lab):
    async with lab("Works", workers=2, predict_timeout_s=0.3, stop_timeout_s=0.3) as it:
        before = it.pids
        began = time.monotonic()
        call = asyncio.create_task(it.ask("sleeps", 60))
        await asyncio.sleep(0.3)
        call.cancel()  # as the front does when the time is over
        with pytest.raises(asyncio.CancelledError):
            await call
        assert 0.6 < time.monotonic() - began < 20
        await it.all_ready()
        assert sum(pid in before for pid in it.pids) == 1


async def test_without_a_deadline_no_call_is_too_long(lab):
    async with lab("Works", workers=1, stop_timeout_s=0.1) as it:
        assert await it.ask("pid", 1500) == it.pids[0]
        assert it.caller.reports()[0].restarts == 0


async def test_memory_that_does_not_suffice_again_and_again_ends_the_process(lab):
    async with lab("Works", workers=1) as it:
        before = it.pids
        with pytest.raises(OutOfMemory, match="CUDA out of memory"):
            await it.ask("fills")
        assert [await it.ask()] == before, "a smaller call fits"
        for _ in range(2):
            with pytest.raises(OutOfMemory):
                await it.ask("fills")
        await it.until(lambda: it.caller.reports()[0].restarts == 1)
        await it.all_ready()
        assert it.pids != before


async def test_a_device_that_is_broken_for_the_process_ends_it(lab):
    async with lab("Works", workers=1) as it:
        with pytest.raises(StageAway, match="illegal memory access"):
            await it.ask("breaks")
        await it.until(lambda: it.caller.reports()[0].restarts == 1)
        await it.all_ready()
        assert await it.ask() == it.pids[0]


async def test_gpus_are_dealt_out(lab, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,GPU-6")
    async with lab("Works", workers=2) as it:
        assert {await it.ask("gpus"), await it.ask("gpus")} == {"4,GPU-6", "5"}


async def test_a_process_has_no_secrets(lab, monkeypatch):
    monkeypatch.setenv("ORCH_SECRET", "value")
    async with lab("Works", workers=1) as it:
        assert await it.ask("secret") == "none"


async def test_progress_of_setup_is_told(lab):
    told: list[tuple[str, float | None]] = []
    token = CURRENT.set(Call(report=lambda text, fraction: told.append((text, fraction))))
    try:
        async with lab("Works", workers=2):
            pass
    finally:
        CURRENT.reset(token)
    assert sorted(told) == [(f"model process {n}: reading weights", 0.5) for n in (0, 1)]


async def test_one_that_cannot_be_set_up_keeps_no_other_from_work(lab):
    async with lab("FailsOnce", workers=2) as it:
        assert it.caller.state is PipelineState.OK
        assert await it.ask() in it.pids
        await it.all_ready()
        assert it.notes.count("setup") == 2


async def test_one_that_takes_long_keeps_no_other_from_work(notes, until):
    (notes.parent / "starting").touch()
    offers: list[int] = []
    caller = PoolCaller(_models("SlowOnce"), Settings(workers=2))
    caller.watch(offers.append)
    try:
        await caller.setup()
        assert caller.state is PipelineState.OK
        assert "1 of 2 model processes are ready" in caller.message
        (notes.parent / "starting").unlink()
        await until(lambda: caller.message is None)
        assert offers == [0, 1, 2]
    finally:
        await caller.close()


async def test_one_that_is_loading_again_says_so(lab):
    async with lab("Slow", workers=1) as it:
        it.hold("starting")
        os.kill(it.pids[0], signal.SIGKILL)
        await it.until(lambda: "the next one is loading" in str(it.caller.message))
        assert "SIGKILL" in it.caller.message
        assert "anew" not in it.caller.message
        it.let_go("starting")
        await it.all_ready()
        assert it.caller.message is None


async def test_one_that_is_late_and_cannot_be_made_is_tried_again(notes, until):
    (notes.parent / "starting").touch()
    caller = PoolCaller(_models("LateOnce"), Settings(workers=2, restart_backoff_s=0.05))
    try:
        await caller.setup()
        assert "1 of 2 model processes are ready" in caller.message
        (notes.parent / "starting").unlink()
        await until(lambda: caller.message is None)
        assert sorted(report.restarts for report in caller.reports()) == [0, 1]
    finally:
        await caller.close()


async def test_one_that_is_not_well_gets_no_call(lab):
    async with lab("Sick", workers=2, healthcheck_interval_s=0.05) as it:
        sick = await it.ask("sickens", 1)
        await it.until(lambda: it.caller.message is not None)
        assert "the weights are lost" in it.caller.message
        assert it.caller.state is PipelineState.OK
        assert sick not in {await it.ask(), await it.ask()}
        assert await it.ask("sickens", 1) != sick
        await it.until(lambda: it.caller.state is PipelineState.ERROR)
        with pytest.raises(StageAway, match="weights are lost"):
            await it.ask()


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("Fails", SetupFailed, "no weights"),
        ("Wrong", PipelineDefinitionError, "positional"),
        ("Routed", PipelineDefinitionError, "set `router` in the class"),
        ("Nobody", PipelineDefinitionError, "Nobody"),
    ],
)
async def test_where_none_can_be_set_up_that_is_an_error(lab, name, error, said):
    with pytest.raises(error, match=said):
        async with lab(name, workers=2):
            pass


async def test_closing_leaves_nothing(lab, runs):
    async with lab("Works", workers=2) as it:
        pids = it.pids
        call = asyncio.create_task(it.ask("asks"))
        await it.until(lambda: "asks" in it.notes)
    with pytest.raises((StageAway, asyncio.CancelledError)):
        await call
    assert not any(runs(pid) for pid in pids)
    assert it.notes.count("teardown") == 2


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends children")
def test_no_process_outlives_a_front_that_is_killed(notes, tmp_path, runs):
    models = notes.parent / "front.py"
    models.write_text(
        textwrap.dedent(
            f"""
            import asyncio
            from livepeer.runner import Settings
            from livepeer.runner._server.pool.caller import PoolCaller

            async def main():
                caller = PoolCaller({_models()!r}, Settings(workers=2))
                await caller.setup()
                print(*(report.pid for report in caller.reports()), flush=True)
                await asyncio.sleep(60)

            asyncio.run(main())
            """
        )
    )
    with subprocess.Popen(
        [sys.executable, str(models)], stdout=subprocess.PIPE, text=True
    ) as front:
        assert front.stdout is not None
        pids = [int(pid) for pid in front.stdout.readline().split()]
        assert len(pids) == 2
        assert all(runs(pid) for pid in pids)
        front.kill()
    until = time.monotonic() + 20
    while any(runs(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(runs(pid) for pid in pids)


def _models(name: str = "Works") -> str:
    return f"{Path(__file__).with_name('models.py')}:{name}"


async def test_each_end_is_followed_by_a_new_process(notes, until):
    caller = PoolCaller(_models(), Settings(workers=1, restart_backoff_s=0.2))
    await caller.setup()
    try:
        for _ in range(2):
            (report,) = caller.reports()
            assert report.pid is not None
            os.kill(report.pid, signal.SIGKILL)
            await until(lambda pid=report.pid: caller.reports()[0].pid not in (None, pid))
            assert caller.reports()[0].restarts == report.restarts + 1
    finally:
        await caller.close()
