"""A batch pipeline in processes, over HTTP and as a program."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from livepeer.runner import PipelineSpec
from livepeer.runner._target import resolve
from livepeer.runner.errors import PipelineDefinitionError, SetupFailed
from livepeer.runner.spec import import_file
from livepeer.runner.testing import serve

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

MODELS = Path(__file__).with_name("models.py")


class Service:
    """One that is served."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self._http = http

    async def until(self, accept: Callable[[Any], bool]) -> Any:
        """What `/health` says once it is so."""
        async with asyncio.timeout(20):
            while not accept(said := (await self.get("/health"))[1]):  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.01)
            return said

    async def ask(self, **body: Any) -> tuple[int, Any, aiohttp.ClientResponse]:
        async with self._http.post(f"{self.url}/predict", json=body) as answer:
            return answer.status, await answer.json(), answer

    async def get(self, path: str) -> tuple[int, Any]:
        async with self._http.get(f"{self.url}{path}") as answer:
            return answer.status, await answer.json()

    def stream(self, **body: Any) -> Any:
        return self._http.post(f"{self.url}/predict", json=body)


@asynccontextmanager
async def served(name: str, **options: Any) -> AsyncGenerator[Service, None]:
    cls = getattr(import_file(MODELS), name)
    given = {"workers": 2, "restart_backoff_s": 0.05, **options}
    async with serve(cls, **given) as server, aiohttp.ClientSession() as http:
        it = Service(server.url, http)
        await it.until(lambda said: all(one["status"] == "OK" for one in said["workers"]))
        yield it


async def test_one_front_answers_for_all_processes(notes, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-3")
    async with served("Works") as it:
        answers = await asyncio.gather(*(it.ask(do="pid", n=300) for _ in range(2)))
        assert [status for status, _, _ in answers] == [200, 200]
        pids = {pid for _, pid, _ in answers}
        assert len(pids) == 2
        assert os.getpid() not in pids
        status, said = await it.get("/health")
        assert (status, said["status"]) == (200, "OK")
        assert said["load"]["slots"] == 2
        workers = {one.pop("pid"): one for one in said["workers"]}
        assert workers.keys() == pids
        assert list(workers.values()) == [
            {"number": n, "status": "OK", "gpus": gpus, "running": 0, "restarts": 0}
            for n, gpus in enumerate(["2", "GPU-3"])
        ]
        status, document = await it.get("/openapi.json")
        assert status == 200
        assert "/predict" in document["paths"]
        status, problem, _ = await it.ask(do="pid", n="many")
        assert status == 422
        status, problem, _ = await it.ask(do="fails")
        assert (status, problem["type"]) == (500, "Own")
        assert problem["detail"].startswith("Own: no half")
        status, problem, _ = await it.ask(do="refuses")
        assert (status, problem["type"]) == (418, "Unwilling")


async def test_capacity_follows_the_processes_that_are_ready(notes):
    starting, working = notes.with_name("starting"), notes.with_name("working")
    async with served("Works", queue=1) as it:
        starting.touch()
        working.touch()
        first = asyncio.create_task(it.ask(do="held"))
        await it.until(lambda said: said["load"]["running"] == 1)
        status, problem, answer = await it.ask(do="dies")
        assert (status, problem["type"]) == (503, "StageAway")
        assert answer.headers["Retry-After"] == "1"
        said = await it.until(lambda said: said["load"]["slots"] == 1)
        assert said["status"] == "OK"
        assert "1 of 2 model processes are ready" in said["message"]
        assert sorted(one["status"] for one in said["workers"]) == ["LOADING", "OK"]
        assert ["SIGKILL" in one.get("message", "") for one in said["workers"]].count(True) <= 1
        queued = asyncio.create_task(it.ask(do="dies"))
        await it.until(lambda said: said["load"]["waiting"] == 1)
        status, problem, answer = await it.ask()
        assert (status, problem["type"]) == (503, "AtCapacity")
        assert int(answer.headers["Retry-After"]) >= 1
        working.unlink()
        assert (await first)[0] == 200
        assert (await queued)[0] == 503
        said = await it.until(lambda said: said["load"]["slots"] == 0)
        assert said["status"] == "LOADING"
        assert (await it.get("/ready"))[0] == 503
        status, problem, answer = await it.ask()
        assert (status, problem["type"]) == (503, "AtCapacity")
        assert answer.headers["Retry-After"] == "1"
        starting.unlink()
        said = await it.until(lambda said: said["load"]["slots"] == 2)
        assert [one["restarts"] for one in said["workers"]] == [1, 1]
        assert (await it.get("/ready"))[0] == 200
        assert {(await it.ask())[0], (await it.ask())[0]} == {200}


async def test_capacity_is_workers_times_concurrency(notes):
    working = notes.with_name("working")
    working.touch()
    async with served("Works", concurrency=2) as it:
        calls = [asyncio.create_task(it.ask(do="held")) for _ in range(4)]
        await it.until(lambda said: said["load"] == {"running": 4, "waiting": 0, "slots": 4})
        assert (await it.ask())[0] == 503
        working.unlink()
        assert [(await call)[0] for call in calls] == [200] * 4


@pytest.mark.parametrize("name", ["Counts", "CountsAsync"])
async def test_items_are_events(notes, name):
    async with served(name) as it:
        async with it.stream(n=3) as answer:
            assert (await answer.read()).split(b"\n\n") == [
                b"data: 0",
                b"data: 1",
                b"data: 2",
                b"data: [DONE]",
                b"",
            ]
        async with it.stream(n=3, fail_at=1) as answer:
            events = (await answer.read()).split(b"\n\n")
        assert events[0] == b"data: 0"
        assert events[1].startswith(b"event: error\ndata: ")
        assert events[2:] == [b"data: [DONE]", b""]


async def test_a_caller_who_leaves_closes_the_generator(notes, until):
    notes.with_name("working").touch()
    async with served("Counts") as it:
        async with it.stream(n=1000) as answer:
            assert await answer.content.readline() == b"data: 0\n"
        await until(lambda: "closed" in notes.read_text())
        assert "item 2" not in notes.read_text()


async def test_the_deadline_is_504_and_a_hang_past_it_a_new_process(notes):
    async with served("Works", predict_timeout_s=2, stop_timeout_s=0.3) as it:
        before = {(await it.ask())[1] for _ in range(2)}
        status, problem, _ = await it.ask(do="sleeps", n=60)
        assert (status, problem["type"]) == (504, "DeadlinePassed")
        assert (await it.ask())[1] in before, "the other one goes on"
        for _ in range(1000):
            after = {(await it.ask())[1] for _ in range(2)}
            if len(after) == 2 and after != before:
                break
            await asyncio.sleep(0.02)
        assert len(after & before) == 1


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("do", ["hoards", "despairs"])
async def test_no_number_of_a_callers_makes_an_error_of_the_runner(notes, workers, do):
    cls = import_file(MODELS).Works
    async with serve(cls, workers=workers) as server, aiohttp.ClientSession() as http:
        it = Service(server.url, http)
        before = (await it.get("/health"))[1]
        for _ in range(4):
            status, problem, _ = await it.ask(do=do, n=2**62)
            assert (status, problem["type"]) == (500, "MemoryError" if do == "hoards" else "Own")
        assert (await it.ask())[0] == 200
        after = (await it.get("/health"))[1]
        assert after["status"] == "OK"
        assert _processes(after) == _processes(before)


def _processes(health: Any) -> list[tuple[int, int]]:
    return [(one["pid"], one["restarts"]) for one in health.get("workers", [])]


async def test_a_failed_setup_in_all_of_them_says_why(notes):
    cls = import_file(MODELS).Fails
    limits = {"setup_failure_linger_s": 60, "restart_backoff_s": 0.05}
    async with (
        serve(cls, ready=False, workers=2, **limits) as server,
        aiohttp.ClientSession() as http,
    ):
        it = Service(server.url, http)
        said = await it.until(lambda said: said["status"] == "ERROR")
        assert "setup() raised RuntimeError: no weights" in said["message"]
        with pytest.raises(SetupFailed, match=r"^setup\(\) raised RuntimeError: no weights$"):
            await server.wait_ready()
        assert (await it.get("/health"))[1]["message"] == "setup() raised RuntimeError: no weights"


async def test_it_is_ok_when_work_is_taken_and_not_before(notes):
    starting = notes.with_name("starting")
    starting.touch()
    cls = import_file(MODELS).SlowOnce
    async with (
        serve(cls, ready=False, workers=2) as server,
        aiohttp.ClientSession() as http,
    ):
        it = Service(server.url, http)
        # One of them is, and the other one is waited for as long again.
        await it.until(lambda said: said["status"] == "OK")
        assert (await it.get("/ready"))[0] == 200
        assert (await it.ask())[0] == 200
        starting.unlink()


async def test_routes_of_the_author_run_in_front(notes):
    async with served("Signed") as it:
        assert await it.get("/own/pid") == (200, os.getpid())
        assert (await it.ask())[1] != os.getpid()


async def test_what_several_processes_cannot_have_is_refused():
    cls = import_file(MODELS).Works

    class Local(cls):
        pass

    with pytest.raises(PipelineDefinitionError, match="hand over the class"):
        resolve(cls(), workers=2)
    with pytest.raises(PipelineDefinitionError, match="top of its module"):
        resolve(Local, workers=2)
    named = PipelineSpec("works", f"{MODELS}:Works")
    with pytest.raises(SetupFailed) as failed:
        async with serve(named, workers=2, setup_failure_linger_s=0):
            pass
    assert "hand over the class, or set LIVEPEER_ISOLATION=thread" in str(failed.value.__cause__)
    assert resolve(named, "thread", workers=2).pooled
    assert not resolve(Local, workers=1).pooled


class Program:
    """A process that serves."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._said = ""
        self._url = self.wait_for(r" at (http://\S+)")[1]
        self.pids = {int(self.wait_for(rf"process {n} is ready \(pid (\d+)\)")[1]) for n in (0, 1)}

    def wait_for(self, pattern: str) -> re.Match[str]:
        assert self.process.stderr is not None
        while not (found := re.search(pattern, self._said)):
            line = self.process.stderr.readline()
            assert line, self._said
            self._said += line
        return found

    def ask(self, **body: Any) -> int:
        request = urllib.request.Request(
            f"{self._url}/predict", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            pid: int = json.load(answer)
            return pid


@contextmanager
def program(tmp_path: Path) -> Generator[Program]:
    script = tmp_path / "program.py"
    script.write_text(f"{MODELS.read_text()}\nfrom livepeer.runner import serve\nserve(Works)\n")
    settings = {"WORKERS": "2", "PORT": "0", "HOST": "127.0.0.1", "LOG_FORMAT": "text"}
    with subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, **{f"LIVEPEER_{name}": value for name, value in settings.items()}},
        stderr=subprocess.PIPE,
        text=True,
    ) as front:
        try:
            yield Program(front)
        finally:
            front.kill()


def test_a_failed_setup_in_all_of_them_ends_the_runner_and_starts_none_anew(notes, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(f"{MODELS.read_text()}\nfrom livepeer.runner import serve\nserve(Fails)\n")
    settings = {"WORKERS": "2", "PORT": "0", "HOST": "127.0.0.1", "LOG_FORMAT": "text"}
    settings |= {"SETUP_FAILURE_LINGER_S": "1", "RESTART_BACKOFF_S": "0.05"}
    ended = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, **{f"LIVEPEER_{name}": value for name, value in settings.items()}},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    said = ended.stderr
    assert said.count("Traceback") == 2
    for number in (0, 1):
        line = f"livepeer.runner._server.pool.worker: setup() failed in model process {number}\n"
        assert said.count(line) == 1
        assert re.search(rf"model process {number} \(pid \d+\): setup\(\) raised Runtime", said)
    assert said.count("setup() raised RuntimeError: no weights; the runner ends in 1 s\n") == 1
    assert "anew" not in said
    assert "__main__" not in said


def test_sigterm_lets_what_runs_end_and_leaves_no_process(notes, until, runs, tmp_path):
    working = notes.with_name("working")
    working.touch()
    with program(tmp_path) as it, ThreadPoolExecutor() as threads:
        call = threads.submit(it.ask, do="held")
        asyncio.run(until(lambda: "held" in notes.read_text()))
        it.process.send_signal(signal.SIGTERM)
        refused = threads.submit(_until_refused, it)
        assert "the runner is ending" in refused.result(20)
        working.unlink()
        assert call.result(20) in it.pids
        assert it.process.wait(20) == 0
        assert not any(runs(pid) for pid in it.pids)
    assert notes.read_text().count("teardown") == 2


def test_a_second_signal_leaves_no_process_either(notes, until, runs, tmp_path):
    notes.with_name("working").touch()
    with program(tmp_path) as it, ThreadPoolExecutor() as threads:
        call = threads.submit(it.ask, do="held")
        asyncio.run(until(lambda: "held" in notes.read_text()))
        it.process.send_signal(signal.SIGTERM)
        assert "the runner is ending" in _until_refused(it)
        it.process.send_signal(signal.SIGTERM)
        assert it.process.wait(20) == 128 + signal.SIGTERM
        asyncio.run(until(lambda: not any(runs(pid) for pid in it.pids)))
        with pytest.raises(OSError, match=r"."):
            call.result(20)


def _until_refused(it: Program) -> str:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            it.ask(do="pid")
        except urllib.error.HTTPError as refused:
            with refused:
                if "ending" in (said := refused.read().decode()):
                    return said
    return "it still works"
