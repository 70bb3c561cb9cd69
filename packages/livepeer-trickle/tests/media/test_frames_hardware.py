"""Codecs on a GPU: what happens without one, and, on a machine that has one, with it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from livepeer.trickle.media import (
    BytePipe,
    EncoderOptions,
    MediaReader,
    Segmenter,
    VideoEncoder,
    VideoFrame,
    hardware_fault,
)

CLIP = Path(__file__).parents[4] / "examples" / "assets" / "bigbuckbunny.mp4"
FRAMES = 30

needs_decoder = pytest.mark.skipif(
    hardware_fault("decode") is not None, reason="needs a CUDA device"
)
needs_encoder = pytest.mark.skipif(hardware_fault("encode") is not None, reason="needs NVENC")


def pictures():
    with av.open(str(CLIP)) as container:
        for _, raw in zip(range(FRAMES), container.decode(video=0), strict=False):
            yield VideoFrame(raw)


def coded(frames, hardware="none"):
    encoder = VideoEncoder(EncoderOptions(hardware=hardware))
    segmenter = Segmenter({"video": "h264"})
    units = [unit for frame in frames for unit in encoder.encode(frame)] + encoder.flush()
    return b"".join(segmenter.add(unit).data for unit in units)


def decoded(data, hardware="none"):
    pipe = BytePipe(limit_bytes=len(data))
    asyncio.run(pipe.write(data))
    pipe.close()
    reader = MediaReader(pipe, decode=frozenset({"video"}), hardware=hardware)
    frames = [item for item in reader if isinstance(item, VideoFrame)]
    assert not reader.stats.corrupt
    return frames


def difference(one, other):
    pairs = zip(one.planes, other.planes, strict=True)
    return max(float(np.abs(a.astype(int) - b).mean()) for a, b in pairs)


WITHOUT = """
import logging
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
from livepeer.trickle.media import hardware_fault
from livepeer.trickle.media._hardware import decoder_device, h264_encoder
for hardware in ("none", "auto", "cuda", "auto", "cuda"):
    print(hardware, decoder_device(hardware), h264_encoder(hardware))
print(hardware_fault("decode") is not None, hardware_fault("encode") is not None)
"""


def test_without_a_gpu_the_cpu_does_it_and_the_log_says_so_once():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        *(f"{hardware} None libx264" for hardware in ("none", "auto", "cuda", "auto", "cuda")),
        "True True",
    ]
    told = [line.split(":")[0] for line in done.stderr.splitlines()]
    assert told == [
        "INFO video is decoded on the CPU",
        "INFO video is encoded on the CPU",
        "WARNING video is decoded on the CPU",
        "WARNING video is encoded on the CPU",
    ]
    assert "NVIDIA_DRIVER_CAPABILITIES" in done.stderr


@pytest.mark.parametrize("hardware", ["auto", "none", "cuda"])
def test_whatever_is_asked_for_a_stream_is_decoded_and_encoded(hardware):
    frames = decoded(coded(pictures(), hardware), hardware)
    assert len(frames) == FRAMES
    for frame, source in zip(frames, pictures(), strict=True):
        assert frame.pts == round(source.time * 90000)
        assert difference(frame, source) < 3
        assert frame.on_host().format in ("yuv420p", "yuvj420p")


# From here on on a machine with a GPU only.


@needs_decoder
def test_a_decoded_picture_stays_on_the_device_until_its_planes_are_wanted():
    data = coded(pictures())
    for frame, cpu in zip(decoded(data, "cuda"), decoded(data), strict=True):
        assert frame.format == "cuda"
        assert np.array_equal(frame.to_ndarray("yuv420p"), cpu.to_ndarray("yuv420p"))
        assert frame.format == "cuda"
        assert all(map(np.array_equal, frame.planes, cpu.planes))
        frame.planes[0][:] = 0
        assert frame.format == "yuv420p"
        assert not frame.planes[0].any()


@needs_decoder
def test_a_tensor_of_a_picture_on_a_device_is_made_there():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs torch with CUDA")
    data = coded(pictures())
    side = torch.cuda.Stream()
    for frame, cpu in zip(decoded(data, "cuda"), decoded(data), strict=True):
        with torch.cuda.stream(side):
            tensor = frame.to_tensor()
        assert tensor.device.type == "cuda"
        assert tensor.shape == (1, frame.height, frame.width, 3)
        side.synchronize()
        assert (tensor.cpu() - cpu.to_tensor()).abs().max() * 127.5 < 3.2
        back = VideoFrame.from_tensor(tensor, like=frame)
        assert back.format == "cuda"
        assert back.pts == frame.pts
        assert difference(back, cpu) < 1
        to_host = VideoFrame.from_tensor(tensor, like=cpu)
        assert to_host.format == "yuv420p"
        assert difference(to_host, cpu) < 1


@needs_decoder
def test_a_tensor_of_a_picture_on_the_host_is_sent_to_a_device():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs torch with CUDA")
    frame = next(pictures())
    tensor = frame.to_tensor("cuda")
    assert tensor.device.type == "cuda"
    assert (tensor.cpu() - frame.to_tensor()).abs().max() < 1e-6
    assert difference(VideoFrame.from_tensor(tensor, like=frame), frame) < 1


@needs_encoder
def test_nvenc_takes_pictures_of_the_host():
    frames = decoded(coded(pictures(), "cuda"))
    assert len(frames) == FRAMES
    assert all(difference(a, b) < 3 for a, b in zip(frames, pictures(), strict=True))


@needs_decoder
@needs_encoder
def test_pictures_go_from_decoder_to_tensor_to_encoder_on_the_device():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs torch with CUDA")

    def inverted():
        for number, frame in enumerate(decoded(coded(pictures()), "cuda")):
            # One in three as it came, so that the encoder meets pictures of two pools.
            yield (
                frame if number % 3 == 0 else VideoFrame.from_tensor(-frame.to_tensor(), like=frame)
            )

    frames = decoded(coded(inverted(), "cuda"))
    assert len(frames) == FRAMES
    for number, (frame, source) in enumerate(zip(frames, pictures(), strict=True)):
        rgb = source.to_ndarray().astype(int)
        expected = rgb if number % 3 == 0 else 255 - rgb
        assert np.abs(frame.to_ndarray() - expected).mean() < 5
