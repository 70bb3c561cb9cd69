"""What `/hardware/info` and `/hardware/stats` say, with and without NVIDIA's library."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import aiohttp
import pytest

from livepeer.runner import LivePipeline
from livepeer.runner.testing import serve


class NVMLError(Exception):
    pass


class FakeNVML(ModuleType):
    """Two GPUs: a whole one, and one that is asked for what it does not have."""

    NVMLError = NVMLError

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.users = 0

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's own names, here and below
        self.users += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.users -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 3

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        assert self.users
        if index == 2:
            raise NVMLError("GPU is lost")
        return index

    def nvmlDeviceGetUUID(self, device: int) -> str:  # noqa: N802
        return f"GPU-{device}"

    def nvmlDeviceGetName(self, device: int) -> str:  # noqa: N802
        return ("NVIDIA H100", "NVIDIA GB10")[device]

    def nvmlDeviceGetMemoryInfo(self, device: int) -> SimpleNamespace:  # noqa: N802
        return self._only_the_first(device, SimpleNamespace(total=80 << 30, free=79 << 30))

    def nvmlDeviceGetUtilizationRates(self, device: int) -> SimpleNamespace:  # noqa: N802
        return self._only_the_first(device, SimpleNamespace(gpu=37, memory=12))

    def nvmlDeviceGetCudaComputeCapability(self, device: int) -> tuple[int, int]:  # noqa: N802
        return ((9, 0), (12, 1))[device]

    def _only_the_first(self, device: int, answer: SimpleNamespace) -> SimpleNamespace:
        if device:
            raise NVMLError("Not Supported")
        return answer


class Sample(LivePipeline):
    pass


async def ask(path: str) -> Any:
    async with (
        serve(Sample(), model_id="sample") as server,
        aiohttp.ClientSession() as http,
        http.get(server.url + path) as response,
    ):
        assert response.status == 200
        answer = await response.json()
    assert (answer.pop("pipeline"), answer.pop("model_id")) == ("live-video-to-video", "sample")
    return answer


async def test_the_gpus_of_a_machine(monkeypatch: pytest.MonkeyPatch):
    nvml = FakeNVML()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert await ask("/hardware/info") == {
        "gpu_info": {
            "0": {
                "id": "GPU-0",
                "name": "NVIDIA H100",
                "memory_total": 80 << 30,
                "memory_free": 79 << 30,
                "major": 9,
                "minor": 0,
            },
            "1": {
                "id": "GPU-1",
                "name": "NVIDIA GB10",
                "memory_total": 0,
                "memory_free": 0,
                "major": 12,
                "minor": 1,
            },
        }
    }
    assert nvml.users == 0


async def test_what_they_are_doing(monkeypatch: pytest.MonkeyPatch):
    nvml = FakeNVML()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    stats = (await ask("/hardware/stats"))["gpu_stats"]
    assert set(stats) == {"0", "1"}
    assert stats["0"] == {
        "id": "GPU-0",
        "name": "NVIDIA H100",
        "memory_total": 80 << 30,
        "memory_free": 79 << 30,
        "utilization_compute": 37,
        "utilization_memory": 12,
    }
    assert (stats["1"]["utilization_compute"], stats["1"]["utilization_memory"]) == (0, 0)
    assert nvml.users == 0


@pytest.mark.parametrize(("path", "key"), [("info", "gpu_info"), ("stats", "gpu_stats")])
async def test_without_the_library_there_is_nothing_to_tell(monkeypatch, path, key):
    monkeypatch.setitem(sys.modules, "pynvml", None)  # an import of it fails
    assert await ask(f"/hardware/{path}") == {key: {}}


@pytest.mark.parametrize(("path", "key"), [("info", "gpu_info"), ("stats", "gpu_stats")])
async def test_this_machine_as_it_is(path, key):
    pynvml = pytest.importorskip("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        count = 0
    else:
        count = pynvml.nvmlDeviceGetCount()
        pynvml.nvmlShutdown()
    answer = await ask(f"/hardware/{path}")
    assert list(answer[key]) == [str(n) for n in range(count)]
