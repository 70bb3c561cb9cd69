"""What frames load when they are first asked is there before the first of them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import asyncio, json, sys
from functools import wraps
from livepeer.runner import LivePipeline, Settings, pipeline
from livepeer.runner._live.in_process import InProcessHost

AUTHOR

async def main():
    host = InProcessHost(Made(), Settings())
    await host.setup()
    await host.close()

asyncio.run(main())
print(json.dumps([name for name in ("numpy", "torch") if name in sys.modules]))
"""

NOTHING = """
class Made(LivePipeline):
    def process_video(self, frame):
        return frame
"""
METHOD = """
class Made(LivePipeline):
    def process_video(self, frame):
        return self.darker(frame)
    def darker(self, frame):
        frame.planes[0][:] = 0
        return frame
"""
BESIDE = """
class Made(LivePipeline):
    def process_video(self, frame):
        return negative(frame)
def negative(frame):
    return 255 - frame.to_ndarray()
"""
INSIDE = """
class Made(LivePipeline):
    async def process_video(self, frame):
        return await asyncio.to_thread(lambda: frame.from_ndarray(255, like=frame))
"""
WRAPPED = """
def timed(hook):
    @wraps(hook)
    def wrapper(*arguments):
        return hook(*arguments)
    return wrapper
class Made(LivePipeline):
    @timed
    def process_video(self, frame):
        return frame.planes
"""
FUNCTION = """
@pipeline
def Made(frame):
    return frame.planes
"""
SHORT = """
@pipeline
class Made:
    def transform(self, frame):
        return frame.planes
"""
TENSOR = """
@pipeline
def Made(frame):
    return -frame.to_tensor()
"""


ODD = """
import importlib.util, sys, types
from typing import Protocol
from unittest.mock import call

class Proxy:
    def __getattr__(self, name):
        raise RuntimeError("not now")

proxy = Proxy()

def looped(): ...
looped.__wrapped__ = looped

class Mixin(Protocol):
    def darker(self, frame): ...

class Nowhere:
    pass
Nowhere.__module__ = None

class Made(Nowhere, LivePipeline, Mixin):
    def process_video(self, frame):
        return frame.planes

Made = types.new_class("Made", (Made,), {}, lambda body: body.update(__module__="gone"))
"""


def loaded(author: str, folder: Path) -> list[str]:
    script = folder / "author.py"
    script.write_text(SCRIPT.replace("AUTHOR", author))
    run = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True
    )
    found: list[str] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize(
    "author",
    [METHOD, BESIDE, INSIDE, WRAPPED, FUNCTION, SHORT, ODD],
    ids=["method", "beside", "inside", "wrapped", "function", "short", "odd"],
)
def test_arrays_are_there_before_the_first_frame(author: str, tmp_path: Path):
    assert loaded(author, tmp_path) == ["numpy"]


def test_tensors_are_there_before_the_first_frame(tmp_path: Path):
    pytest.importorskip("torch")
    assert "torch" in loaded(TENSOR, tmp_path)


def test_a_library_that_does_not_load_is_told_by_the_hook_that_needs_it(tmp_path: Path):
    (tmp_path / "torch.py").write_text("raise OSError('no such library')")
    assert loaded(TENSOR, tmp_path) == []


def test_what_is_not_asked_for_is_not_loaded(tmp_path: Path):
    assert loaded(NOTHING, tmp_path) == []
