"""What a hook returns, as frames."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from livepeer.runner.frames import AudioFrame, VideoFrame, as_frames


@pytest.fixture
def picture():
    pixels = np.random.default_rng(3).integers(0, 256, (72, 128, 3), np.uint8)
    raw = av.VideoFrame.from_ndarray(pixels).reformat(format="yuv420p")
    raw.pts, raw.time_base = 4321, Fraction(1, 90000)
    return VideoFrame(raw, sample_aspect_ratio=Fraction(4, 3))


@pytest.fixture
def sound():
    wave = np.random.default_rng(4).uniform(-1, 1, (2, 1024)).astype(np.float32)
    raw = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
    raw.sample_rate, raw.pts, raw.time_base = 48000, 90000, Fraction(1, 90000)
    return AudioFrame(raw)


def test_a_frame_is_itself_and_nothing_is_nothing(picture, sound):
    assert as_frames(picture, picture) == [picture]
    assert as_frames(sound, sound) == [sound]
    assert as_frames(None, picture) == []
    assert as_frames([], picture) == []
    other = VideoFrame(av.VideoFrame(64, 64, "yuv420p"))
    assert as_frames((picture, other), picture) == [picture, other]


@pytest.mark.parametrize("shape", [(72, 128, 3), (72, 128, 4), (72, 128), (36, 64, 3)])
def test_an_array_has_the_time_of_its_source(picture, shape):
    [frame] = as_frames(np.full(shape, 200, np.uint8), picture)
    assert (frame.height, frame.width, frame.format) == (*shape[:2], "yuv420p")
    assert (frame.pts, frame.time_base) == (4321, Fraction(1, 90000))
    assert frame.sample_aspect_ratio == Fraction(4, 3)
    assert np.abs(frame.to_ndarray().astype(int) - 200).max() <= 3


def test_a_list_may_hold_anything_that_fits(picture):
    frames = as_frames([picture, np.zeros((72, 128, 3), np.uint8)], picture)
    assert frames[0] is picture
    assert frames[1].to_ndarray().max() <= 3
    assert [frame.pts for frame in frames] == [4321, 4321]


def test_sounds_of_a_list_follow_each_other(sound):
    halves = np.split(sound.to_ndarray(), 2, axis=1)
    frames = as_frames(halves, sound)
    assert [frame.pts for frame in frames] == [90000, 90000 + 512 * 90000 // 48000]
    joined = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    assert np.array_equal(joined, sound.to_ndarray())


def test_tensors_are_taken_as_arrays_are(picture, sound):
    torch = pytest.importorskip("torch")
    expected = as_frames(picture.to_ndarray(), picture)[0].planes
    for tensor in (picture.to_tensor(), picture.to_tensor(range="uint8")[0]):
        [frame] = as_frames(tensor, picture)
        assert all(map(np.array_equal, frame.planes, expected))
        assert frame.pts == 4321
    [louder] = as_frames(torch.clamp(sound.to_tensor() * 2, -1, 1), sound)
    assert np.array_equal(louder.to_ndarray(), np.clip(sound.to_ndarray() * 2, -1, 1))
    assert louder.pts == 90000


@pytest.mark.parametrize("result", ["text", 7, {"frame": 1}, [[None]], b"\x00" * 9])
def test_anything_else_is_refused_by_name(picture, result):
    kind = type(result[0] if isinstance(result, list) else result).__name__
    with pytest.raises(TypeError, match=f"an? {kind} is no VideoFrame, nor an array or a tensor"):
        as_frames(result, picture)


def test_a_frame_of_the_other_kind_is_refused(picture, sound):
    with pytest.raises(TypeError, match="AudioFrame is no VideoFrame"):
        as_frames(sound, picture)
    with pytest.raises(TypeError, match="VideoFrame is no AudioFrame"):
        as_frames([sound, picture], sound)


def test_what_does_not_fit_is_shown_with_its_mend(picture, sound):
    with pytest.raises(ValueError, match=r"\(72, 128, 3\) float64 .*astype\(numpy.uint8\)"):
        as_frames(np.zeros((72, 128, 3)), picture)
    with pytest.raises(ValueError, match=r"\(1024, 2\) float32 .* \(channels, samples\)"):
        as_frames(np.zeros((1024, 2), np.float32), sound)
