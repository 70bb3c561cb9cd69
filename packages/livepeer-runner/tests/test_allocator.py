"""Memory of a process that serves video: how malloc is set there, and what streams leave."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from livepeer.trickle import TrickleServer

if TYPE_CHECKING:
    from collections.abc import Generator

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="sets glibc's malloc")

MIB = 1024 * 1024
THREADS = 6
NAMES = ("GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")

AUTHOR = """
import ctypes, json, os, sys, tempfile, threading, time
from xml.etree import ElementTree
from livepeer.runner import LivePipeline, Pipeline, PipelineSpec, make_app, serve

libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]

def info():
    with tempfile.NamedTemporaryFile() as file:
        stream = libc.fopen(file.name.encode(), b"w")
        libc.malloc_info(0, stream)
        libc.fclose(stream)
        return ElementTree.parse(file).getroot()

def heap():
    # All that malloc has of the kernel, but for what it mapped for one request alone.
    return int(info().find("system[@type='current']").get("size"))

def mapped():
    return int(info().find("total[@type='mmap']").get("count"))

def heaps(threads):
    # Each of them is alive, and has asked for memory, while they are counted.
    ready, over = threading.Barrier(threads + 1), threading.Event()
    def work():
        libc.free(libc.malloc(100_000))
        ready.wait()
        over.wait()
    for _ in range(threads):
        threading.Thread(target=work).start()
    ready.wait()
    found = len(info().findall("heap"))
    over.set()
    return found

def tell():
    found, before, asked = {}, mapped(), range(8)
    blocks = [libc.malloc(8 << 20) for _ in asked]
    found["mapped"] = mapped() - before
    for block in blocks:
        libc.free(block)
    # Again, with nothing between that could come to lie above them.
    blocks = [libc.malloc(8 << 20) for _ in asked]
    for block in blocks:
        libc.free(block)
    found["kept"] = heap() >= 64 << 20
    found["heaps"] = heaps(int(os.environ["THREADS"]))
    say(found)

def say(found):
    with open(os.environ["FOUND"] + ".part", "w") as file:
        json.dump(found, file)
    os.replace(file.name, os.environ["FOUND"])
    os._exit(0)

class Live(LivePipeline):
    def setup(self):
        tell()

class Loaded(LivePipeline):
    def setup(self):
        say({"modules": list(sys.modules)})

class Batch(Pipeline):
    def setup(self):
        tell()
    def predict(self, n: int) -> int:
        return n

class Leaves(LivePipeline):
    def on_stream_start(self, params):
        cycle = {"memory": [bytearray(os.urandom(1)) * (1 << 16) for _ in range(512)]}
        cycle["itself"] = cycle

def start():
    STATEMENT

if __name__ == "__main__":
    start()
"""

SET = {"mapped": 0, "kept": True, "heaps": 1}
ISOLATED = 'serve(PipelineSpec("live", f"{__file__}:Live"))'


def write(folder: Path, statement: str) -> Path:
    script = folder / "author.py"
    script.write_text(AUTHOR.replace("STATEMENT", statement))
    return script


def surroundings(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    return {**kept, "LIVEPEER_PORT": "0", "LIVEPEER_HOST": "127.0.0.1", **variables}


def found_in(folder: Path, *arguments: str, **variables: str) -> dict[str, Any]:
    """What malloc does in the process that runs the author's `setup()`."""
    found = folder / "found.json"
    environment = surroundings(FOUND=str(found), THREADS=str(THREADS), **variables)
    with running([*arguments], environment):
        deadline = time.monotonic() + 30
        while not found.is_file():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    return json.loads(found.read_text())


@contextmanager
def running(arguments: list[str], environment: dict[str, str]) -> Generator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, *arguments], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("statement", ["serve(Live)", "serve(Live())", ISOLATED])
def test_malloc_is_set_where_hooks_of_streams_run(statement: str, tmp_path: Path):
    assert found_in(tmp_path, str(write(tmp_path, statement))) == SET


def test_malloc_is_set_by_the_command_too(tmp_path: Path):
    script = write(tmp_path, "pass")
    ports = ["--port", "0", "--orchestrator-port", "0", "--gateway-port", "0"]
    command = ["-m", "livepeer.cli", "dev", f"{script}:Live", *ports]
    assert found_in(tmp_path, *command) == SET


@pytest.mark.parametrize("statement", ["serve(Batch())", "make_app(Live()); tell()"])
def test_malloc_is_left_alone_elsewhere(statement: str, tmp_path: Path):
    found = found_in(tmp_path, str(write(tmp_path, statement)))
    assert found["mapped"] == 8
    assert found["heaps"] > THREADS


@pytest.mark.parametrize(
    ("variables", "differs"),
    [
        ({"MALLOC_ARENA_MAX": "3"}, {"heaps": 3}),
        ({"MALLOC_MMAP_THRESHOLD_": "1000000"}, {"mapped": 8, "kept": False}),
        ({"MALLOC_TRIM_THRESHOLD_": "1000000"}, {"kept": False}),
        ({"GLIBC_TUNABLES": "glibc.malloc.check=0:glibc.malloc.arena_max=3"}, {"heaps": 3}),
        ({"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1000000"}, {"mapped": 8, "kept": False}),
        ({"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1000000"}, {"kept": False}),
    ],
)
@pytest.mark.parametrize("statement", ["serve(Live)", ISOLATED])
def test_what_the_environment_says_stays(
    statement: str, variables: dict[str, str], differs: dict[str, object], tmp_path: Path
):
    found = found_in(tmp_path, str(write(tmp_path, statement)), **variables)
    assert found == {**SET, **differs}


def test_a_stream_needs_nothing_that_it_does_not_use(tmp_path: Path):
    found = found_in(tmp_path, str(write(tmp_path, "serve(Loaded)")))
    assert {"av", "aiohttp"} <= {*found["modules"]}
    assert {"numpy", "prometheus_client", "statistics", "torch"}.isdisjoint(found["modules"])


@pytest.mark.parametrize("isolation", ["thread", "process"])
async def test_what_a_stream_leaves_is_given_back(isolation: str, tmp_path: Path):
    script = write(tmp_path, "serve(Leaves)")
    environment = surroundings(LIVEPEER_ISOLATION=isolation)
    with running([str(script)], environment) as process:
        assert process.stderr is not None
        url = process.stderr.readline().split(" at ")[1].split(" ")[0]
        await until_idle(url)
        async with TrickleServer(autocreate=True).listening() as trickle:
            await start(url, "first", trickle)
            held = resident(process.pid)
            await stop(url, "first")
            deadline = time.monotonic() + 10
            # The model's process hears of the end when the runner has answered.
            while resident(process.pid) > held - 20 * MIB:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)


def resident(pid: int) -> int:
    """Bytes, of the process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    mine = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return mine + sum(resident(int(child)) for child in children)


async def until_idle(url: str) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as http:
        while True:
            async with http.get(f"{url}/health") as response:
                if (await response.json())["status"] == "IDLE":
                    return
            await asyncio.sleep(0.02)


async def start(runner: str, name: str, trickle: str) -> None:
    channels = {f"{kind}_url": f"{trickle}/{name}-{kind}" for kind in ("control", "events")}
    await post(f"{runner}/stream/start", name, {"gateway_request_id": name, **channels})


async def stop(runner: str, name: str) -> None:
    await post(f"{runner}/stream/stop", name, {})


async def post(url: str, stream: str, body: dict[str, str]) -> None:
    headers = {"X-Stream-Id": stream}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(url, json=body) as response,
    ):
        assert response.status == 200, await response.text()
