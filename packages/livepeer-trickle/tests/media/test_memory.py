"""Frames in memory of somebody else's: exact, without a copy where that can be, and kept alive."""

from __future__ import annotations

import mmap
import weakref
from fractions import Fraction

import av
import numpy as np
import pytest

from livepeer.trickle.errors import MediaError
from livepeer.trickle.media import AudioFrame, EncoderOptions, VideoEncoder, VideoFrame
from livepeer.trickle.media.memory import (
    AudioDescription,
    VideoDescription,
    describe,
    pack,
    unpack,
)

FORMATS = [
    ("yuv420p", True),
    ("yuvj420p", True),
    ("rgb24", True),
    ("bgr24", True),
    ("rgba", True),
    ("gray", True),
    ("nv12", False),
    ("yuv444p", False),
    ("yuv420p10le", False),
    ("gbrp", False),
]


def noise(width: int, height: int, format: str) -> VideoFrame:
    raw = av.VideoFrame(width, height, format)
    for plane in raw.planes:
        plane.update(np.random.default_rng(1).integers(0, 256, plane.buffer_size, np.uint8))
    raw.pts, raw.time_base = 42, Fraction(1, 90_000)
    raw.color_range, raw.colorspace, raw.color_primaries, raw.color_trc = 2, 5, 6, 7
    return VideoFrame(raw, sample_aspect_ratio=Fraction(16, 11))


def memory_for(size: int) -> memoryview:
    return memoryview(mmap.mmap(-1, max(size, 1)))


@pytest.mark.parametrize(("format", "over"), FORMATS)
@pytest.mark.parametrize("size", [(1280, 720), (642, 362), (100, 52), (33, 17)])
def test_a_picture_comes_out_as_it_went_in(format: str, over: bool, size: tuple[int, int]):
    frame = noise(*size, format)
    memory = memory_for(describe(frame).size)
    about = pack(frame, memory)
    assert about == describe(frame)
    again, is_over = unpack(about, memory)
    even = size[0] % 2 == 0 and size[1] % 4 == 0
    assert is_over == (over and (even or "420" not in format))
    assert isinstance(again, VideoFrame)
    assert (again.width, again.height, again.format) == (*size, format)
    assert (again.pts, again.time_base) == (42, Fraction(1, 90_000))
    assert again.sample_aspect_ratio == Fraction(16, 11)
    assert (again.raw.color_range, again.raw.colorspace) == (2, 5)
    assert (again.raw.color_primaries, again.raw.color_trc) == (6, 7)
    # Through FFmpeg, which knows what belongs to the picture and what is padding.
    rgb = [raw.reformat(format="rgb48le").to_ndarray() for raw in (frame.raw, again.raw)]
    np.testing.assert_array_equal(rgb[1], rgb[0])


def test_a_write_into_one_is_in_the_other():
    frame = noise(1280, 720, "yuv420p")
    memory = memory_for(describe(frame).size)
    over, _ = unpack(pack(frame, memory), memory)
    assert isinstance(over, VideoFrame)
    over.planes[0][0, :4] = (1, 2, 3, 4)
    assert memory[:4].tolist() == [1, 2, 3, 4]
    assert frame.planes[0][0, :4].tolist() != [1, 2, 3, 4]


class Keeper:
    """Something whose end can be seen."""


def test_memory_is_kept_for_as_long_as_anybody_has_the_picture():
    frame = noise(320, 180, "yuv420p")
    memory = memory_for(describe(frame).size)
    keeper = Keeper()
    gone = weakref.ref(keeper)
    over, _ = unpack(pack(frame, memory), memory, keeper)
    del keeper
    assert isinstance(over, VideoFrame)
    plane = over.planes[0]
    encoder = VideoEncoder(EncoderOptions())
    units = encoder.encode(over) + encoder.flush()
    assert len(units) == 1
    del over, encoder
    assert gone() is not None, "a plane still refers to it"
    del plane
    assert gone() is None


def test_sound_is_copied():
    samples = np.random.default_rng(1).random((6, 1000), np.float32)
    raw = av.AudioFrame.from_ndarray(samples, "fltp", "5.1")
    raw.sample_rate, raw.pts, raw.time_base = 44_100, 5, Fraction(1, 44_100)
    packed = av.AudioFrame.from_ndarray(np.arange(400, dtype=np.int16)[None], "s16", "stereo")
    packed.sample_rate = 48_000
    for frame in (AudioFrame(raw), AudioFrame(packed)):
        memory = memory_for(describe(frame).size)
        again, over = unpack(pack(frame, memory), memory)
        memory[:] = bytes(len(memory))
        assert not over
        assert isinstance(again, AudioFrame)
        assert (again.sample_rate, again.layout) == (frame.sample_rate, frame.layout)
        assert (again.format, again.samples) == (frame.format, frame.samples)
        assert (again.pts, again.time_base) == (frame.pts, frame.time_base)
        np.testing.assert_array_equal(again.to_ndarray(), frame.to_ndarray())


def test_what_does_not_fit_is_refused():
    frame = noise(320, 180, "yuv420p")
    about = describe(frame)
    with pytest.raises(MediaError, match=f"needs {about.size} bytes, and there are 100"):
        pack(frame, memory_for(100))
    memory = memory_for(about.size)
    pack(frame, memory)
    with pytest.raises(MediaError, match="of memory"):
        unpack(about, memory[:-1])
    assert not isinstance(about, type(describe(AudioFrame(av.AudioFrame("fltp", "mono", 1)))))
    with pytest.raises(MediaError, match="no frame is described"):
        unpack(about._replace(format="nonsense"), memory)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": (0, 0, 0)},
        {"rows": (362, 181)},
        {"width": -2},
        {"height": 0},
        {"strides": (704, -352, 352)},
    ],
    ids=str,
)
def test_a_description_of_no_picture_is_refused(change: dict[str, object]):
    frame = noise(642, 362, "yuv420p")
    memory = memory_for(describe(frame).size)
    about = pack(frame, memory)
    assert isinstance(about, VideoDescription)
    with pytest.raises(MediaError):
        unpack(about._replace(**change), memory)  # type: ignore[arg-type]


def test_what_lay_in_memory_before_is_never_shown():
    frame = noise(642, 362, "yuv444p")
    memory = memory_for(describe(frame).size)
    about = pack(frame, memory)
    assert isinstance(about, VideoDescription)
    # As wide as the check of the first plane wants, and next to nothing for the others.
    again, _ = unpack(about._replace(strides=(about.strides[0], 1, 1)), memory)
    assert isinstance(again, VideoFrame)
    for plane in again.raw.planes[1:]:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        assert not rows[: plane.height, 1 : plane.width].any()


@pytest.mark.parametrize(
    "change", [{"stride": 0}, {"planes": 1}, {"samples": 0}, {"sample_rate": -5}], ids=str
)
def test_a_description_of_no_sound_is_refused(change: dict[str, object]):
    raw = av.AudioFrame.from_ndarray(np.ones((2, 1024), np.float32), "fltp", "stereo")
    raw.sample_rate, raw.pts, raw.time_base = 48_000, 0, Fraction(1, 48_000)
    frame = AudioFrame(raw)
    memory = memory_for(describe(frame).size)
    about = pack(frame, memory)
    assert isinstance(about, AudioDescription)
    with pytest.raises(MediaError):
        unpack(about._replace(**change), memory)  # type: ignore[arg-type]
