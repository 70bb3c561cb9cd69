"""The model process itself: what it is told, how it ends, and what it leaves."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from livepeer.runner.errors import StageAway
from livepeer.runner.frames import VideoFrame

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer.runner._live.isolated.stage import IsolatedStage

    Picture = Callable[..., VideoFrame]

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_gone(pid: int) -> bool:
    for _ in range(2000):
        if not runs(pid):
            return True
        time.sleep(0.005)
    return False


def answers(stage: IsolatedStage, frames: list[VideoFrame], n: int) -> int:
    got = 0
    for at in range(n):
        got += stage.submit(frames[at % len(frames)]).get(20) is not None
    return got


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


async def test_the_model_has_no_secrets_and_little_else(lab, monkeypatch):
    for name in ("ORCH_TOKEN", "ORCH_SECRET", "LIVEPEER_ORCH_TOKEN", "KEPT"):
        monkeypatch.setenv(name, "value")
    async with lab("Sees") as it:
        assert it.notes == [
            "ORCH_TOKEN=None",
            "ORCH_SECRET=None",
            "LIVEPEER_ORCH_TOKEN=None",
            "KEPT=value",
            "modules False",
            "terminal True",
        ]


async def test_closing_tears_down_and_leaves_nothing(lab, picture: Picture):
    before = open_files()
    async with lab("Changes") as it:
        stage, _ = await it.start("a", do="in_place")
        frames = [picture(n) for n in range(4)]
        assert await asyncio.to_thread(answers, stage, frames, 20) == 20
        kept = await asyncio.to_thread(stage.submit(frames[0]).get, 20)
        await stage.stop()
        stage.release()
    assert it.notes[-1] == "teardown"
    assert not any(runs(pid) for pid in it.pids)
    # A result outlives the process that made it, and keeps its memory.
    assert isinstance(kept, VideoFrame)
    assert (kept.planes[0] == 255 - frames[0].planes[0]).all()
    del kept, it, stage
    assert open_files() == before


async def test_what_the_model_started_ends_with_it(lab, picture: Picture):
    async with lab("Changes") as it:
        stage, _ = await it.start("a", do="breeds")
        assert await asyncio.to_thread(answers, stage, [picture(1)], 1) == 1
        (child,) = (int(note.split()[1]) for note in it.notes if note.startswith("child"))
        assert runs(child)
        os.kill(it.host.pid, signal.SIGKILL)
        assert await asyncio.to_thread(wait_gone, child)
        await it.back(stage)


@linux
async def test_a_model_that_dies_leaves_no_open_files(lab, picture: Picture):
    async with lab("Changes") as it:
        stage, _ = await it.start("a", do="in_place")
        gc.collect()
        gc.disable()
        try:
            before = len(os.listdir("/proc/self/fd"))
            for n in range(5):
                waiting = stage.submit(picture(n))
                os.kill(it.host.pid, signal.SIGKILL)
                await it.gone(stage)
                with pytest.raises(StageAway):
                    await stage.update({"level": n})
                assert waiting.done
                del waiting
                await it.back(stage)
                assert await asyncio.to_thread(answers, stage, [picture(n)], 3) == 3
            assert len(os.listdir("/proc/self/fd")) == before
        finally:
            gc.enable()


@linux
async def test_memory_is_flat(lab, picture: Picture):
    def resident(pid: int | str) -> int:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096

    async with lab("Changes", capability_capacity=2) as it:
        frames = [picture(n, 640, 360) for n in range(8)]
        same, _ = await it.start("a", do="same")
        array, _ = await it.start("b", do="in_place")
        for stage in (same, array):
            await asyncio.to_thread(answers, stage, frames, 300)
        gc.collect()
        before, files = [resident("self"), resident(it.host.pid)], open_files()
        for stage in (same, array):
            assert await asyncio.to_thread(answers, stage, frames, 1000) == 1000
        gc.collect()
        after = [resident("self"), resident(it.host.pid)]
        assert open_files() == files
    for was, now in zip(before, after, strict=True):
        assert now - was < 4 * 1024 * 1024


@linux
def test_the_model_ends_with_a_runner_that_is_killed(tmp_path: Path):
    """And sees nothing of what a terminal sends to the runner."""
    models = Path(__file__).with_name("models.py")
    script = tmp_path / "runner.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import asyncio, signal
            from livepeer.runner import PipelineSpec, Settings
            from livepeer.runner._live.isolated.host import IsolatedHost

            async def main():
                asyncio.get_running_loop().add_signal_handler(signal.SIGINT, print, "interrupted")
                host = IsolatedHost(PipelineSpec("lab", "{models}:Changes"), Settings())
                await host.setup()
                print(host.pid, flush=True)
                await asyncio.sleep(1)
                print(host.restarts, flush=True)
                await asyncio.sleep(60)

            asyncio.run(main())
            """
        )
    )
    notes = tmp_path / "notes"
    notes.touch()
    with subprocess.Popen(
        [sys.executable, "-u", str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TEST_NOTES": str(notes)},
        start_new_session=True,
    ) as runner:
        assert runner.stdout is not None
        pid = int(runner.stdout.readline())
        os.killpg(runner.pid, signal.SIGINT)
        assert [runner.stdout.readline().strip() for _ in range(2)] == ["interrupted", "0"]
        assert runs(pid)
        runner.kill()
        assert wait_gone(pid)


@linux
@pytest.mark.parametrize("block", [False, True])
def test_what_the_model_started_ends_with_a_runner_that_is_killed(tmp_path: Path, block: bool):
    models = Path(__file__).with_name("models.py")
    notes = tmp_path / "notes"
    notes.touch()
    script = tmp_path / "runner.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import asyncio
            from livepeer.runner import PipelineSpec, Settings
            from livepeer.runner._live.isolated.host import IsolatedHost
            from livepeer.runner._stream import Stream

            async def main():
                host = IsolatedHost(PipelineSpec("lab", "{models}:Blocks"), Settings())
                await host.setup()
                print(host.pid, flush=True)
                await host.stage(Stream("a", None)).start({{"block": {block}}})
                await asyncio.sleep(60)

            asyncio.run(main())
            """
        )
    )
    with subprocess.Popen(
        [sys.executable, "-u", str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TEST_NOTES": str(notes)},
    ) as runner:
        assert runner.stdout is not None
        pid = int(runner.stdout.readline())
        while "child" not in notes.read_text():
            time.sleep(0.01)
        child = int(notes.read_text().split()[-1])
        time.sleep(0.2)
        assert runs(child)
        runner.kill()
        assert wait_gone(pid), "also where a hook holds the interpreter"
        if block:
            os.kill(child, signal.SIGKILL)
        else:
            assert wait_gone(child)
