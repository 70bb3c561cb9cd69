"""Which GPUs each model process sees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from livepeer.runner._server.hardware import gpu_info

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VARIABLE: Final = "CUDA_VISIBLE_DEVICES"


def deal(devices: Sequence[str], number: int, workers: int) -> dict[str, str]:
    """The environment by which one of several processes sees its share of the GPUs.

    They are dealt out in turns; where there are fewer GPUs than processes, some share one.

    Args:
        devices: The GPUs, by index or UUID as `CUDA_VISIBLE_DEVICES` has them.
        number: Which process, from 0 up.
        workers: How many there are.

    Returns:
        The variable and its value; nothing where there is no GPU to deal out.
    """
    if not devices:
        return {}
    share = devices[number::workers] or [devices[number % len(devices)]]
    return {VARIABLE: ",".join(share)}


def visible(environ: Mapping[str, str]) -> list[str]:
    """The GPUs that this process may use; blocks while the driver is asked.

    Args:
        environ: Its environment; where the variable is set it is right, also when it is empty.
    """
    given = environ.get(VARIABLE)
    if given is None:
        # The library that tells is an extra; the system's devices tell as much.
        count = len(gpu_info()) or len(list(Path("/dev").glob("nvidia[0-9]*")))
        return [str(index) for index in range(count)]
    devices: list[str] = []
    for entry in map(str.strip, given.split(",")):
        # CUDA takes those before the first that is none.
        if not entry or entry.startswith("-"):
            break
        devices.append(entry)
    return devices
