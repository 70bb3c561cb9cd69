"""What becomes of a session whose model process ends, hangs or cannot be set up."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from livepeer.runner import PipelineSpec, PipelineState, Settings
from livepeer.runner._isolation.faults import is_fatal
from livepeer.runner._live.isolated.host import IsolatedHost
from livepeer.runner._stream import Stream
from livepeer.runner.errors import (
    HookFailed,
    InvalidParams,
    PipelineDefinitionError,
    StageAway,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer.runner._live.isolated.stage import IsolatedStage
    from livepeer.runner.frames import AudioFrame, VideoFrame

    Picture = Callable[..., VideoFrame]


async def ask(stage: IsolatedStage, frame: VideoFrame) -> VideoFrame | AudioFrame | None:
    return await asyncio.to_thread(stage.submit(frame).get, 20)


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("dies", "SIGKILL"),
        ("exits", "status 3"),
        ("faults", "SIGSEGV"),
        ("hogs", "cannot go on"),
        ("hogs_device", "cannot go on"),
        ("hangs", "kept a frame"),
    ],
)
async def test_a_model_that_fails_is_replaced(lab, picture: Picture, way: str, words: str):
    async with lab("Changes", capability_capacity=2, hook_timeout_s=0.5) as it:
        ends, ends_sent = await it.start("ends", do=way)
        other, _ = await it.start("other", do="in_place", level=1)
        await other.update({"do": "same"})
        waiting = ends.submit(picture(1)), other.submit(picture(1))
        with pytest.raises(StageAway, match=words):
            await asyncio.to_thread(waiting[0].get, 20)
        if way != "hangs":  # where the other's answer may have come before
            assert other.away == "restarting"
        with pytest.raises(StageAway):
            await asyncio.to_thread(ends.submit(picture(2)).get, 20)
        with pytest.raises(StageAway):
            await other.update({"level": 2})
        await it.back(ends, other)
        assert it.host.state is PipelineState.OK
        assert it.host.restarts == 1
        assert await ask(other, picture(3)) is not None
        # Each with the parameters that were accepted last.
        assert it.notes == [
            "setup",
            f"start ends {{'do': '{way}'}}",
            "start other {'do': 'in_place', 'level': 1}",
            "setup",
            f"start ends {{'do': '{way}'}}",
            "start other {'do': 'same', 'level': 1}",
        ]
        # Not an event of the author's: the session makes one of it.
        (report,) = ends_sent.reports
        assert words in report
        assert not ends_sent.events


async def test_frames_flow_soon_after_a_model_is_killed_from_outside(lab, picture: Picture):
    async with lab("Changes") as it:
        stage, _ = await it.start("a", do="same")
        for life in range(3):
            assert await ask(stage, picture(life)) is not None
            assert it.host.pid == it.pids[-1]
            os.kill(it.host.pid, signal.SIGKILL)
            began = time.monotonic()
            await it.gone(stage)
            assert time.monotonic() - began < 5.0
            await it.back(stage)
        assert await ask(stage, picture(9)) is not None
        assert len(it.pids) == 4
        assert it.host.restarts == 3


async def test_a_setup_that_fails_is_tried_again(lab, picture: Picture, caplog):
    async with lab("FailsTwice") as it:
        assert it.host.state is PipelineState.OK
        assert it.host.message is None
        stage, _ = await it.start("a")
        assert await ask(stage, picture(1)) is not None
        assert it.notes == ["setup"] * 3
    assert "setup() raised RuntimeError: not yet; it is started anew in 0.05 s" in caplog.text
    assert "it is started anew in 0.1 s" in caplog.text


async def test_while_setup_fails_the_state_says_so(picture: Picture, lab, tmp_path):
    path = tmp_path / "bad.py"
    path.write_text(
        "from livepeer.runner import LivePipeline\n"
        "class Bad(LivePipeline):\n"
        "    def setup(self):\n"
        "        raise RuntimeError('no weights')\n"
    )
    host = IsolatedHost(PipelineSpec("bad", f"{path}:Bad"), Settings(restart_backoff_s=5))
    assert host.state is PipelineState.LOADING
    setting_up = asyncio.create_task(host.setup())
    for _ in range(4000):
        if host.state is PipelineState.ERROR:
            break
        await asyncio.sleep(0.005)
    assert host.state is PipelineState.ERROR
    assert host.message == "setup() raised RuntimeError: no weights; it is started anew in 5 s"
    setting_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await setting_up
    await host.close()


async def test_a_setup_that_hangs_is_ended(lab):
    async with lab("HangsOnce", setup_timeout_s=4.0) as it:
        assert it.host.state is PipelineState.OK
        assert it.notes == ["setup", "setup"]
        assert len(it.pids) == 2


@pytest.mark.parametrize("do", ["result", "event", "slot", "time", "other", "failed"])
async def test_a_model_that_sends_garbage_is_replaced(lab, picture: Picture, do: str):
    async with lab("Odd") as it:
        stage, sent = await it.start("a", do=do)
        stage.submit(picture(1))
        await it.gone(stage)
        await it.back(stage)
        assert it.host.restarts == 1
        (report,) = sent.reports
        assert ("so it says" if do == "failed" else "cannot be understood") in report
        await stage.update({"do": "same"})
        assert await ask(stage, picture(2)) is not None


async def test_whatever_a_validator_raises_there_is_an_answer(lab, picture: Picture):
    async with lab("Odd") as it:
        stage, _ = await it.start("a")
        async with asyncio.timeout(10):
            with pytest.raises(HookFailed, match="KeyError"):
                await stage.update({"do": "unknown"})
        assert await ask(stage, picture(1)) is not None
        assert it.host.restarts == 0


async def test_parameters_that_are_nested_too_deeply_are_the_callers_fault(lab, picture: Picture):
    async with lab("Changes") as it:
        stage, _ = await it.start("a", do="same")
        deep: dict[str, Any] = {}
        for _ in range(200_000):
            deep = {"a": deep}
        with pytest.raises(InvalidParams, match="too deeply"):
            await stage.update(deep)
        assert await ask(stage, picture(1)) is not None


@pytest.mark.parametrize("value", [2**70, "\ud83d"], ids=["long", "half"])
async def test_parameters_may_be_whatever_json_can_say(lab, picture: Picture, value: object):
    async with lab("Changes") as it:
        stage, _ = await it.start("a", do="same")
        await stage.update({"seed": value})
        assert await ask(stage, picture(1)) is not None
        assert it.host.restarts == 0


async def test_a_hook_that_exits_ends_its_process(lab, picture: Picture):
    async with lab("Odd") as it:
        stage, _ = await it.start("a")
        async with asyncio.timeout(10):
            with pytest.raises(StageAway, match="SystemExit"):
                await stage.update({"do": "exit"})
        await it.back(stage)
        await stage.update({"do": "leave"})
        with pytest.raises(StageAway, match="SystemExit"):
            await ask(stage, picture(1))
        await it.back(stage)
        assert it.host.restarts == 2


async def test_updates_do_not_hide_a_hook_that_hangs(lab, picture: Picture):
    async with lab("Odd", hook_timeout_s=1.0) as it:
        stage, _ = await it.start("a", do="wait")
        waiting = stage.submit(picture(1))
        began = time.monotonic()
        while not waiting.done and time.monotonic() - began < 10:
            await stage.update({"n": 1})
            await asyncio.sleep(0.1)
        with pytest.raises(StageAway, match="kept a frame for 1 s"):
            await asyncio.to_thread(waiting.get, 20)
        assert 1.0 <= time.monotonic() - began < 8.0


async def test_an_update_that_waits_does_not_hide_a_hook_that_hangs(lab, picture: Picture):
    async with lab("Changes", hook_timeout_s=1.0) as it:
        stage, _ = await it.start("a", do="hangs")
        waiting = stage.submit(picture(1))
        began = time.monotonic()
        with pytest.raises(StageAway, match="kept a frame for 1 s"):
            await stage.update({"do": "same"})
        assert waiting.done
        assert time.monotonic() - began < 8.0


async def test_a_process_that_the_system_does_not_end_holds_nobody_up(
    lab, picture: Picture, monkeypatch: pytest.MonkeyPatch
):
    really = os.killpg
    monkeypatch.setattr(os, "killpg", lambda *_: None)
    monkeypatch.setattr("livepeer.runner._isolation.life._KILL_S", 0.05)
    async with lab("Changes", hook_timeout_s=0.5, stop_timeout_s=0.1) as it:
        stage, _ = await it.start("a", do="hangs")
        stuck = it.host.pid
        with pytest.raises(StageAway, match="kept a frame"):
            await ask(stage, picture(1))
        await it.back(stage)
        await stage.update({"do": "same"})
        assert await ask(stage, picture(2)) is not None
        monkeypatch.undo()
    really(stuck, signal.SIGKILL)
    for _ in range(2000):
        try:
            os.kill(stuck, 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.005)
    raise TimeoutError("it is not reaped")


async def test_initial_parameters_must_be_json(tmp_path):
    (tmp_path / "plain.py").write_text(
        "from livepeer.runner import LivePipeline\nclass Plain(LivePipeline): ...\n"
    )
    spec = PipelineSpec("plain", f"{tmp_path}/plain.py:Plain")
    object.__setattr__(spec, "initial_params", {"good": (1, 2), "price": Decimal("1.5")})
    host = IsolatedHost(spec, Settings())
    with pytest.raises(PipelineDefinitionError, match="initial_params\\['price'\\] is not JSON"):
        await host.setup()
    await host.close()


@pytest.mark.parametrize("name", ["OutOfMemoryError", "AcceleratorError"])
def test_a_device_that_failed_is_no_use_to_this_process(name):
    torch = pytest.importorskip("torch")
    error = HookFailed("process_video() raised")
    error.__cause__ = getattr(torch, name)("CUDA")
    assert is_fatal(error)
    error.__cause__ = RuntimeError("CUDA")
    assert not is_fatal(error)


async def test_a_class_that_is_not_there_is_told_at_once(tmp_path):
    path = tmp_path / "empty.py"
    path.write_text("")
    host = IsolatedHost(PipelineSpec("none", f"{path}:Gone"), Settings())
    with pytest.raises(PipelineDefinitionError, match="has no Gone"):
        await host.setup()
    await host.close()


async def test_a_start_that_hangs_does_not_hold_the_model_for_ever(lab, picture: Picture):
    async with lab("BlocksStart", capability_capacity=2, hook_timeout_s=0.5) as it:
        stage, _ = await it.start("a")
        blocked = it.host.stage(Stream("b", it.sent()))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await blocked.start({"block": True})
        blocked.release()
        await it.gone(stage)
        await it.back(stage)
        assert it.host.restarts == 1
        assert stage.kinds == frozenset()


async def test_a_stream_that_ended_is_not_started_again(lab, picture: Picture):
    async with lab("Changes", capability_capacity=2) as it:
        over, _ = await it.start("over", do="same")
        stage, _ = await it.start("stays", do="dies")
        await over.stop()
        over.release()
        with pytest.raises(StageAway):
            await ask(stage, picture(1))
        await it.back(stage)
        assert [note for note in it.notes if note.startswith("start over")] == [
            "start over {'do': 'same'}"
        ]
        # A stop has nothing to end while the model is away.
        with pytest.raises(StageAway):
            await ask(stage, picture(2))
        await stage.stop()
