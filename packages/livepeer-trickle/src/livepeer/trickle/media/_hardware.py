"""Which codecs run on a GPU: what was asked for, and what this machine has."""

from __future__ import annotations

import logging
from fractions import Fraction
from functools import lru_cache
from typing import Final, Literal

import av
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

_log = logging.getLogger(__name__)

Hardware = Literal["auto", "none", "cuda"]
"""Where video is decoded and encoded: on a GPU if there is one, never, or on an NVIDIA GPU.

Without a GPU both `auto` and `cuda` fall back to the CPU; `cuda` warns of it.
"""

Task = Literal["decode", "encode"]

NVENC: Final = "h264_nvenc"
X264: Final = "libx264"

# Frames that a pipeline may hold while the decoder needs others: a GPU's pictures come from a
# pool of a fixed size, and the decoder fails when it is empty.
_EXTRA_FRAMES: Final = 64


def hardware_fault(task: Task) -> str | None:
    """Why this machine cannot decode, or encode, H.264 with CUDA; None when it can.

    Tries once in a process, which takes up to a second where there is a GPU.
    """
    return _fault(task)


def on_gpu(hardware: Hardware, task: Task) -> bool:
    """Whether a GPU is to be used; a fallback is logged once in a process."""
    return hardware != "none" and _found(hardware, task)


def decoder_device(hardware: Hardware) -> HWAccel | None:
    """What PyAV is to be given to decode on a GPU, with frames that stay there; None for the CPU.

    What the GPU cannot decode is decoded by the CPU.
    """
    if not on_gpu(hardware, "decode"):
        return None
    return HWAccel("cuda", is_hw_owned=True, allow_software_fallback=True)


def decoder_options() -> dict[str, str]:
    """Options of a codec context that decodes on a GPU."""
    return {"extra_hw_frames": str(_EXTRA_FRAMES)}


def h264_encoder(hardware: Hardware) -> str:
    """The name of the H.264 encoder to use."""
    return NVENC if on_gpu(hardware, "encode") else X264


def nvenc_options(crf: int) -> dict[str, str]:
    """Options of NVENC that match ours of x264: no reordering, no lookahead, constant quality."""
    return {
        "preset": "p3",
        "tune": "ull",
        "rc": "vbr",
        "cq": str(crf),
        "bf": "0",
        "delay": "0",
        "zerolatency": "1",
        "forced-idr": "1",
        "g": "9999",
    }


@lru_cache(maxsize=4)
def _found(hardware: Hardware, task: Task) -> bool:
    fault = _fault(task)
    if fault is not None:
        level = logging.WARNING if hardware == "cuda" else logging.INFO
        _log.log(level, "video is %sd on the CPU: %s", task, fault)
    return fault is None


@lru_cache(maxsize=2)
def _fault(task: Task) -> str | None:
    if "cuda" not in hwdevices_available():
        return "this FFmpeg was built without CUDA"
    try:
        if task == "decode":
            HWAccel("cuda").create(av.Codec("h264", "r"))
        else:
            _try_nvenc()
    except (FFmpegError, NotImplementedError, ValueError, RuntimeError) as error:
        what = "CUDA device" if task == "decode" else NVENC
        return (
            f"FFmpeg opens no {what} ({error}); a container needs compute and video among its"
            " NVIDIA_DRIVER_CAPABILITIES"
        )
    return None


def _try_nvenc() -> None:
    context = av.CodecContext.create(NVENC, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = 640, 360, "yuv420p"
    context.time_base = Fraction(1, 30)
    context.open()
