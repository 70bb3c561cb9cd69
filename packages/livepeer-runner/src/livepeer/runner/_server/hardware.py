"""What NVIDIA's management library says of this machine's GPUs, in go-livepeer's words.

Source of the shapes: go-livepeer `ai/worker/runner.gen.go`, `GPUComputeInfo` and
`GPUUtilizationInfo`. The library comes with the extra `livepeer-runner[gpu]`; without it, without a
driver, or without a GPU there is nothing to tell.
"""

from __future__ import annotations

import importlib
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import ModuleType

_log = logging.getLogger(__name__)


class _GPU(BaseModel):
    id: str = Field(description="UUID")
    name: str = Field(description="Product name")
    memory_total: int = Field(description="Bytes; 0 where the driver does not say")
    memory_free: int = Field(description="Bytes; 0 where the driver does not say")


class GPU(_GPU):
    """One GPU."""

    index: int = Field(description="As `CUDA_VISIBLE_DEVICES` counts them")


class Hardware(BaseModel):
    """The GPUs of this machine and what drives them."""

    driver: str | None = Field(None, description="Version of NVIDIA's driver; absent without one")
    cuda: str | None = Field(None, description="The newest CUDA that the driver can serve")
    gpus: list[GPU]


class GPUComputeInfo(_GPU):
    """What a GPU can do."""

    major: int = Field(description="CUDA compute capability, before the point")
    minor: int = Field(description="CUDA compute capability, after the point")


class GPUUtilizationInfo(_GPU):
    """What a GPU is doing."""

    utilization_compute: int = Field(description="Percent of the time in which kernels ran")
    utilization_memory: int = Field(description="Percent of the time in which memory was used")


def gpu_info() -> dict[str, GPUComputeInfo]:
    """What the GPUs can do, by their index ("0", "1", …). Blocks: call it from a thread."""
    with _nvml() as nvml:
        return {} if nvml is None else dict(_compute(nvml))


def gpu_stats() -> dict[str, GPUUtilizationInfo]:
    """What the GPUs are doing, by their index ("0", "1", …). Blocks: call it from a thread."""
    with _nvml() as nvml:
        return {} if nvml is None else dict(_utilization(nvml))


def hardware() -> Hardware:
    """The GPUs, for people. Blocks: call it from a thread."""
    with _nvml() as nvml:
        if nvml is None:
            return Hardware(driver=None, cuda=None, gpus=[])
        gpus = [GPU(index=int(index), **known) for index, _, known in _devices(nvml)]
        driver = _ask(nvml, "nvmlSystemGetDriverVersion")
        cuda: int | None = _ask(nvml, "nvmlSystemGetCudaDriverVersion_v2")
        # NVML's word for CUDA 12.4 is 12040.
        shown = None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}"
        return Hardware(driver=driver, cuda=shown, gpus=gpus)


def _compute(nvml: ModuleType) -> Generator[tuple[str, GPUComputeInfo], None, None]:
    for index, device, known in _devices(nvml):
        major, minor = _ask(nvml, "nvmlDeviceGetCudaComputeCapability", device) or (0, 0)
        yield index, GPUComputeInfo(**known, major=major, minor=minor)


def _utilization(nvml: ModuleType) -> Generator[tuple[str, GPUUtilizationInfo], None, None]:
    for index, device, known in _devices(nvml):
        rates = _ask(nvml, "nvmlDeviceGetUtilizationRates", device)
        yield (
            index,
            GPUUtilizationInfo(
                **known,
                utilization_compute=rates.gpu if rates else 0,
                utilization_memory=rates.memory if rates else 0,
            ),
        )


@contextmanager
def _nvml() -> Generator[ModuleType | None, None, None]:
    """The library, ready for questions; None where there is none or it finds no driver."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        yield None
        return
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        _log.debug("no NVIDIA GPU: %s", error)
        yield None
        return
    try:
        yield nvml
    finally:
        nvml.nvmlShutdown()


def _devices(nvml: ModuleType) -> Generator[tuple[str, object, dict[str, Any]], None, None]:
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            device = nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError as error:  # fallen off the bus, or not ours to see
            _log.warning("GPU %d does not answer: %s", index, error)
            continue
        memory = _ask(nvml, "nvmlDeviceGetMemoryInfo", device)
        known = {
            "id": _ask(nvml, "nvmlDeviceGetUUID", device) or "",
            "name": _ask(nvml, "nvmlDeviceGetName", device) or "",
            "memory_total": memory.total if memory else 0,
            "memory_free": memory.free if memory else 0,
        }
        yield str(index), device, known


def _ask(nvml: ModuleType, question: str, *device: object) -> Any:
    """The answer, or None: a GPU cut in slices has no rates, one in a chip no memory of its own."""
    try:
        return getattr(nvml, question)(*device)
    except nvml.NVMLError as error:
        _log.debug("%s: %s", question, error)
        return None
