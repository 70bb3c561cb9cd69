"""What is no frame, or cannot be one: the error says what came, and what fits."""

from __future__ import annotations

from concurrent.futures import Future
from fractions import Fraction

import av
import numpy as np
import pytest

from livepeer.trickle.media import AudioFrame, VideoFrame, as_frame


def _picture():
    raw = av.VideoFrame(64, 48, "yuv420p")
    for plane in raw.planes:
        memoryview(plane)[:] = bytes(plane.buffer_size)
    raw.pts, raw.time_base = 0, Fraction(1, 90_000)
    return VideoFrame(raw)


def _sound():
    raw = av.AudioFrame("fltp", "stereo", 1024)
    raw.sample_rate, raw.pts, raw.time_base = 48_000, 0, Fraction(1, 48_000)
    return AudioFrame(raw)


PICTURE, SOUND = _picture(), _sound()
PIXELS = np.zeros((48, 64, 3), np.uint8)
SAMPLES = np.zeros((2, 64), np.float32)


@pytest.mark.parametrize("shape", [(20_000, 40_000, 3), (2, 70_000, 3), (20_000, 40_000)])
def test_pictures_that_no_codec_takes(shape):
    array = np.broadcast_to(np.uint8(0), shape)
    with pytest.raises(ValueError, match=rf"{shape[1]}x{shape[0]} is too large: 16384 pixels"):
        VideoFrame.from_ndarray(array, like=PICTURE)


@pytest.mark.parametrize("value", [[1], None, "pixels"])
def test_what_is_no_array(value):
    with pytest.raises(TypeError, match="is no numpy array"):
        VideoFrame.from_ndarray(value, like=PICTURE)
    with pytest.raises(TypeError, match=r"is no numpy array.*numpy\.asarray"):
        AudioFrame.from_ndarray(value, like=SOUND)


def test_a_source_of_the_other_kind():
    with pytest.raises(TypeError, match=r"like= is a .*AudioFrame: give the VideoFrame"):
        VideoFrame.from_ndarray(PIXELS, like=SOUND)
    with pytest.raises(TypeError, match=r"like= is a .*VideoFrame: give the AudioFrame"):
        AudioFrame.from_ndarray(SAMPLES, like=PICTURE)


@pytest.mark.parametrize("rate", [-1, 0, 10**12])
def test_sample_rates_that_no_sound_has(rate):
    with pytest.raises(ValueError, match=f"sample_rate is {rate}: it is from 1 to"):
        AudioFrame.from_ndarray(SAMPLES, like=SOUND, sample_rate=rate)


def test_sample_rates_that_are_no_numbers():
    with pytest.raises(TypeError, match="sample_rate is a float"):
        AudioFrame.from_ndarray(SAMPLES, like=SOUND, sample_rate=1.5)
    rate = AudioFrame.from_ndarray(SAMPLES, like=SOUND, sample_rate=np.int64(16_000)).sample_rate
    assert rate == 16_000


@pytest.mark.parametrize("format", ["pal8", "cuda", "nonsense"])
def test_formats_that_no_array_has(format):
    with pytest.raises(ValueError, match=f"no {format} array .*take one of gray, rgb24"):
        PICTURE.to_ndarray(format)
    with pytest.raises(ValueError, match=f"{format}' is not a format of an array here"):
        VideoFrame.from_ndarray(PIXELS, like=PICTURE, format=format)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_channels_that_come_first(dtype):
    with pytest.raises(ValueError, match=r"channels first: \.transpose\(1, 2, 0\)"):
        VideoFrame.from_ndarray(np.zeros((3, 48, 64), dtype), like=PICTURE)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (PICTURE.raw, r"an av\.video\.frame\.VideoFrame is no VideoFrame of ours.*not its raw"),
        (Future(), r"a concurrent\..*Future is no VideoFrame: .*asyncio\.wrap_future"),
        (3, r"^an int is no VideoFrame, nor an array"),
        ("x", r"^a str is no VideoFrame, nor an array"),
        (SOUND, r"AudioFrame is no VideoFrame: emit_frame"),
    ],
)
def test_what_a_hook_returned_by_mistake(value, text):
    with pytest.raises(TypeError, match=text):
        as_frame(value, PICTURE)


def test_tensors_without_values_of_their_own():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"numpy\.ndarray is no torch tensor: from_ndarray"):
        VideoFrame.from_tensor(PIXELS, like=PICTURE)
    with pytest.raises(TypeError, match="is no torch tensor"):
        AudioFrame.from_tensor(SAMPLES, like=SOUND)
    for tensor, text in (
        (torch.zeros(48, 64, 3).to_sparse(), r"is sparse: \.to_dense"),
        (torch.zeros(48, 64, 3, device="meta"), "has no values"),
        (torch.zeros(1).expand(20_000, 40_000, 3), "40000x20000 is too large"),
    ):
        with pytest.raises(ValueError, match=text):
            VideoFrame.from_tensor(tensor, like=PICTURE)
    with pytest.raises(ValueError, match="has no values"):
        AudioFrame.from_tensor(torch.zeros(2, 64, device="meta"), like=SOUND)
