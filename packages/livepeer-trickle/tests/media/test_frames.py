"""Frames as planes and as arrays, on the pictures and the sound of a real clip."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from livepeer.trickle.media import AudioEncoder, AudioFrame, VideoEncoder, VideoFrame

CLIP = Path(__file__).parents[4] / "examples" / "assets" / "bigbuckbunny.mp4"
LIMITED, FULL = 1, 2
# By the number of a matrix: the weights of red and blue in luma (ITU-T H.273, table 4).
MATRICES = {2: (0.299, 0.114), 6: (0.299, 0.114), 1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}


def pictures(first=0, last=None):
    with av.open(str(CLIP)) as container:
        for number, raw in enumerate(container.decode(video=0)):
            if last is not None and number >= last:
                return
            if number >= first:
                yield VideoFrame(raw)


def sounds(count):
    with av.open(str(CLIP)) as container:
        for _, raw in zip(range(count), container.decode(audio=0), strict=False):
            yield AudioFrame(raw)


@pytest.fixture(scope="module")
def scene():
    """One picture of the clip with many colors."""
    return next(pictures(60, 61)).to_ndarray("yuv420p")


def frame_of(planes, *, matrix=2, coding=LIMITED, format="yuv420p", pts=12345):
    raw = av.VideoFrame.from_ndarray(planes, format=format)
    raw.colorspace, raw.color_range = matrix, coding
    raw.pts, raw.time_base = pts, Fraction(1, 90000)
    return VideoFrame(raw, sample_aspect_ratio=Fraction(4, 3))


def exact_rgb(frame, matrix, full):
    """RGB by definition, each chroma sample for its square of pixels."""
    red, blue = MATRICES[matrix]
    y, u, v = (plane.astype(np.float64) for plane in frame.planes)
    u, v = (np.kron(chroma - 128, np.ones((2, 2))) for chroma in (u, v))
    y, scale = (y, 255) if full else ((y - 16) * 255 / 219, 224)
    r, b = (y + 2 * (1 - k) * c * 255 / scale for k, c in ((red, v), (blue, u)))
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.stack([r, g, b], -1), 0, 255)


def exact_planes(rgb, matrix, full):
    """YUV by definition, the mean of four pixels for each chroma sample."""
    red, blue = MATRICES[matrix]
    weights = [red, 1 - red - blue, blue]
    height, width, _ = rgb.shape
    squares = rgb.reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3))
    y, small = rgb @ weights, squares @ weights
    scale = 255 if full else 224
    chroma = [
        128 + (squares[..., at] - small) / (2 * (1 - k)) * scale / 255
        for at, k in ((2, blue), (0, red))
    ]
    return [y if full else 16 + y * 219 / 255, *chroma]


def worst(planes, expected):
    return [float(np.abs(a.astype(float) - b).max()) for a, b in zip(planes, expected, strict=True)]


def test_writes_into_every_plane_of_every_frame_of_a_clip_stay_where_they_are():
    expected = [[plane.copy() for plane in frame.planes] for frame in pictures()]
    assert len(expected) == 132
    for number, frame in enumerate(pictures()):
        assert all(map(np.array_equal, frame.planes, expected[number])), number
        for plane in frame.planes:
            plane[:] = 255 - plane


def test_the_decoder_does_refer_to_what_it_gave_out():
    first, second = (frame.planes[0].copy() for frame in pictures(0, 2))
    later = pictures()
    memoryview(next(later).raw.planes[0])[:] = bytes(1280 * 720)
    assert not np.array_equal(next(later).planes[0], second)
    assert not np.array_equal(first, second)


def test_a_frame_that_nobody_writes_into_is_never_copied():
    encoder = VideoEncoder()
    held = []
    for frame in pictures(0, 10):
        before = [plane.buffer_ptr for plane in frame.raw.planes]
        frame.to_ndarray()
        frame.to_ndarray("yuv420p")
        assert encoder.encode(frame)
        assert [plane.buffer_ptr for plane in frame.raw.planes] == before
        held.append(frame)
    frame = held[5]
    frame.planes[0][:] = 0
    copied = frame.raw.planes[0].buffer_ptr
    frame.planes[1][:] = 0
    assert frame.raw.planes[0].buffer_ptr == copied


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("coding", [LIMITED, FULL])
def test_colors_are_read_as_the_source_says(scene, matrix, coding):
    frame = frame_of(scene, matrix=matrix, coding=coding)
    error = frame.to_ndarray() - exact_rgb(frame, matrix, coding == FULL)
    assert np.abs(error).max() < 3.2
    assert np.abs(error).mean() < 1.3


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("coding", [LIMITED, FULL])
def test_colors_are_written_as_the_source_says(scene, matrix, coding):
    rgb = frame_of(scene).to_ndarray()
    like = frame_of(scene, matrix=matrix, coding=coding)
    frame = VideoFrame.from_ndarray(rgb, like=like)
    assert frame.format == "yuv420p"
    assert (frame.raw.colorspace, frame.raw.color_range) == (matrix, coding)
    assert max(worst(frame.planes, exact_planes(rgb, matrix, coding == FULL))) < 1.2


@pytest.mark.parametrize("matrix", [3, 8, 10, 14, 17])
def test_a_matrix_that_swscale_refuses_counts_as_the_usual_one(scene, matrix):
    usual, frame = frame_of(scene), frame_of(scene, matrix=matrix)
    rgb = frame.to_ndarray()
    assert np.array_equal(rgb, usual.to_ndarray())
    back = VideoFrame.from_ndarray(rgb, like=frame)
    assert all(map(np.array_equal, back.planes, VideoFrame.from_ndarray(rgb, like=usual).planes))
    assert back.raw.colorspace == frame.raw.colorspace == matrix


def test_the_full_range_of_a_camera_is_kept(scene):
    like = frame_of(scene, format="yuvj420p", coding=FULL)
    rgb = like.to_ndarray()
    assert np.abs(rgb - exact_rgb(like, 2, full=True)).max() < 3.2
    frame = VideoFrame.from_ndarray(rgb, like=like)
    assert frame.format == "yuvj420p"
    assert max(worst(frame.planes, exact_planes(rgb, 2, full=True))) < 1.2
    same = VideoFrame.from_ndarray(like.to_ndarray("yuvj420p"), like=like, format="yuvj420p")
    assert all(map(np.array_equal, same.planes, like.planes))


def test_there_and_back_changes_little(scene):
    source = frame_of(scene)
    once = VideoFrame.from_ndarray(source.to_ndarray(), like=source)
    error = np.abs(once.to_ndarray("yuv420p").astype(int) - scene)
    assert error.mean() < 1
    assert (error <= 2).mean() > 0.99


def test_noise_in_color_is_averaged_and_not_blurred():
    rgb = np.random.default_rng(5).integers(0, 256, (144, 256, 3), np.uint8)
    frame = VideoFrame.from_ndarray(rgb, like=frame_of(np.zeros((216, 256), np.uint8)))
    assert max(worst(frame.planes, exact_planes(rgb, 2, full=False))) < 1.2


def test_a_frame_of_an_array_has_the_time_and_the_shape_of_pixels_of_its_source(scene):
    like = frame_of(scene)
    frame = VideoFrame.from_ndarray(like.to_ndarray(), like=like)
    assert (frame.pts, frame.time_base) == (12345, Fraction(1, 90000))
    assert frame.sample_aspect_ratio == Fraction(4, 3)
    moved = VideoFrame.from_ndarray(like.to_ndarray(), like=like, pts=15345)
    assert (moved.pts, moved.time_base) == (15345, Fraction(1, 90000))


@pytest.mark.parametrize("width", [16, 64, 1278, 1280, 1282])
@pytest.mark.parametrize("format", ["rgb24", "rgba", "gray", "yuv420p"])
def test_an_array_is_private_writable_and_contiguous(width, format):
    frame = frame_of(np.full((24, width), 100, np.uint8))
    array = frame.to_ndarray(format)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    before = frame.to_ndarray("yuv420p").copy()
    array[:] = 7
    assert np.array_equal(frame.to_ndarray("yuv420p"), before)


def test_the_array_of_an_rgb_picture_is_a_copy_too():
    frame = VideoFrame(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 9, np.uint8)))
    frame.to_ndarray()[:] = 200
    assert frame.to_ndarray().max() == 9


@pytest.mark.parametrize("size", [(90, 160), (91, 160), (90, 161), (91, 161), (1, 1), (2, 3)])
def test_pictures_of_any_size_become_frames_and_are_encoded(scene, size):
    rgb = np.full((*size, 3), (250, 10, 60), np.uint8)
    frame = VideoFrame.from_ndarray(rgb, like=frame_of(scene))
    assert (frame.height, frame.width) == size
    assert np.abs(frame.to_ndarray().astype(int) - rgb).max() <= 4
    if min(size) > 16:
        assert VideoEncoder().encode(frame)


def test_arrays_of_each_form_show_the_same_picture(scene):
    like = frame_of(scene)
    rgb = like.to_ndarray()
    expected = VideoFrame.from_ndarray(rgb, like=like).planes
    alpha = np.full((*rgb.shape[:2], 1), 77, np.uint8)
    apart = np.ascontiguousarray(rgb.transpose(2, 0, 1)).transpose(1, 2, 0)
    forms = {
        "strided": (np.repeat(rgb, 2, axis=1)[:, ::2], None),
        "upside down": (rgb[::-1].copy()[::-1], None),
        "apart": (apart, None),
        "rgba": (np.concatenate([rgb, alpha], 2), None),
        "bgr24": (rgb[..., ::-1], "bgr24"),
        "abgr": (np.concatenate([rgb, alpha], 2)[..., ::-1], "abgr"),
    }
    for name, (array, format) in forms.items():
        planes = VideoFrame.from_ndarray(array, like=like, format=format).planes
        assert max(worst(planes, expected)) <= 2, name
    gray = VideoFrame.from_ndarray(like.to_ndarray("gray"), like=like)
    assert all((plane == 128).all() for plane in gray.planes[1:])
    assert worst(gray.planes[:1], like.planes[:1]) <= [2]
    planar = VideoFrame.from_ndarray(scene, like=like, format="yuv420p")
    assert all(map(np.array_equal, planar.planes, like.planes))


def test_what_happens_to_an_array_later_does_not_reach_the_frame(scene):
    like = frame_of(scene)
    for array, format in ((like.to_ndarray(), None), (scene.copy(), "yuv420p")):
        frame = VideoFrame.from_ndarray(array, like=like, format=format)
        before = frame.to_ndarray("yuv420p")
        array[:] = 0
        assert np.array_equal(frame.to_ndarray("yuv420p"), before)


@pytest.mark.parametrize(
    ("array", "format", "text"),
    [
        (np.zeros((72, 128, 3), np.float32), None, r"\(72, 128, 3\) float32 .* uint8"),
        (np.zeros((72, 128, 3), np.int64), None, r"\(72, 128, 3\) int64 .* uint8"),
        (np.zeros((3, 72, 128), np.uint8), None, r"\(3, 72, 128\) uint8 .* \(height, width, 3\)"),
        (np.zeros((1, 72, 128, 3), np.uint8), None, r"\(1, 72, 128, 3\) uint8 .* \(height"),
        (np.zeros((72, 128, 2), np.uint8), None, r"\(72, 128, 2\) uint8"),
        (np.zeros((0, 128, 3), np.uint8), None, r"\(0, 128, 3\) uint8"),
        (np.zeros((72, 128), np.uint8), "rgb24", r"\(72, 128\) uint8 .* \(height, width, 3\)"),
        (np.zeros((72, 128, 3), np.uint8), "gray", r"\(72, 128, 3\) uint8 .* \(height, width\)"),
        (
            np.zeros((73, 128), np.uint8),
            "yuv420p",
            r"\(73, 128\) uint8 .* \(height \* 3 / 2, width\)",
        ),
        (np.zeros((72, 128, 3), np.uint8), "pal8", "'pal8' is not a format .* rgb24"),
    ],
)
def test_an_array_that_does_not_fit_is_shown_with_what_fits(scene, array, format, text):
    with pytest.raises(ValueError, match=text):
        VideoFrame.from_ndarray(array, like=frame_of(scene), format=format)


@pytest.mark.parametrize(
    ("size", "format", "text"),
    [
        ((64, 64), "yuv420p10le", "uint16"),
        ((64, 64), "no such", "no such"),
        ((63, 64), "yuv420p", "64x63 .* even"),
    ],
)
def test_an_array_that_cannot_be_had_is_an_error(size, format, text):
    frame = VideoFrame(av.VideoFrame.from_ndarray(np.zeros((*size, 3), np.uint8)))
    with pytest.raises(ValueError, match=text):
        frame.to_ndarray(format)


def test_the_sound_of_a_clip_goes_there_and_back_unchanged():
    for frame in sounds(5):
        array = frame.to_ndarray()
        assert array.shape == (6, frame.samples)
        assert array.dtype == np.float32
        back = AudioFrame.from_ndarray(array, like=frame)
        assert np.array_equal(back.to_ndarray(), array)
        assert (back.pts, back.time_base) == (frame.pts, frame.time_base)
        assert (back.layout, back.sample_rate) == ("5.1", 48000)


def test_interleaved_sound_is_read_channel_by_channel():
    samples = np.array([[0, 1, 2, 3, 4, 5]], np.int16)
    raw = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
    raw.sample_rate, raw.pts, raw.time_base = 44100, 7, Fraction(1, 44100)
    frame = AudioFrame(raw)
    assert frame.to_ndarray().tolist() == [[0, 2, 4], [1, 3, 5]]
    back = AudioFrame.from_ndarray(frame.to_ndarray(), like=frame)
    assert back.to_ndarray().tolist() == [[0, 2, 4], [1, 3, 5]]
    assert back.pts == 7


@pytest.mark.parametrize(
    ("array", "layout", "dtype"),
    [
        (np.full(480, 0.5, np.float32), "mono", np.float32),
        (np.full((1, 480), 0.5), "mono", np.float32),
        (np.full((2, 960), 900, np.int16), "stereo", np.int16),
        (np.full((6, 33), 900, np.int32), "5.1", np.int32),
    ],
)
def test_sound_of_other_channels_and_types_is_taken(array, layout, dtype):
    like = next(sounds(1))
    frame = AudioFrame.from_ndarray(array, like=like, sample_rate=16000, pts=99)
    assert (frame.layout, frame.sample_rate, frame.pts) == (layout, 16000, 99)
    assert frame.to_ndarray().dtype == dtype
    assert np.array_equal(frame.to_ndarray(), array.astype(dtype).reshape(-1, array.shape[-1]))
    encoder = AudioEncoder()
    assert encoder.encode(frame) + encoder.flush()


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((1024, 2), np.float32), r"\(1024, 2\) float32 .* \(channels, samples\)"),
        (np.zeros((2, 1024), np.uint8), r"\(2, 1024\) uint8 .* float32"),
        (np.zeros((1, 2, 1024), np.float32), r"\(1, 2, 1024\) float32"),
        (np.zeros((2, 0), np.float32), r"\(2, 0\) float32"),
        (np.zeros((3, 5), np.float32), r"\(3, 5\) .* one of 1, 2, 6 channels"),
    ],
)
def test_sound_that_does_not_fit_is_shown_with_what_fits(array, text):
    with pytest.raises(ValueError, match=text):
        AudioFrame.from_ndarray(array, like=next(sounds(1)))
