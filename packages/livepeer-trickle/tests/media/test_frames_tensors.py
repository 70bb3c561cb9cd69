"""Frames as tensors, and back, on a real picture."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from livepeer.trickle.media import AudioFrame, VideoFrame, _device, as_frame

torch = pytest.importorskip("torch")

CLIP = Path(__file__).parents[4] / "examples" / "assets" / "bigbuckbunny.mp4"


@pytest.fixture(scope="module")
def frame():
    with av.open(str(CLIP)) as container:
        for number, raw in enumerate(container.decode(video=0)):
            if number == 60:
                return VideoFrame(raw, sample_aspect_ratio=Fraction(4, 3))
    raise AssertionError("the clip is too short")


@pytest.fixture(scope="module")
def sound():
    with av.open(str(CLIP)) as container:
        return AudioFrame(next(container.decode(audio=0)))


def same(one, other, by=0):
    pairs = zip(one.planes, other.planes, strict=True)
    return all(np.abs(a.astype(int) - b).max() <= by for a, b in pairs)


def small(pixels, dtype):
    return torch.zeros(pixels, dtype=dtype)


def test_a_tensor_is_the_array_in_minus_one_to_one(frame):
    tensor = frame.to_tensor()
    assert tensor.shape == (1, 720, 1280, 3)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    expected = frame.to_ndarray().astype(np.float64) / 127.5 - 1
    assert np.abs(tensor[0].numpy() - expected).max() < 1e-6
    assert tensor.max() > 0.9
    assert tensor.min() < -0.9


def test_other_ranges_and_types_by_name(frame):
    array = frame.to_ndarray()
    unit = frame.to_tensor(range="unit")
    assert np.abs(unit[0].numpy() - array / 255).max() < 1e-6
    levels = frame.to_tensor(range="uint8")
    assert levels.dtype == torch.uint8
    assert np.array_equal(levels[0].numpy(), array)
    assert frame.to_tensor(range="uint8", dtype=torch.int64).dtype == torch.int64
    half = frame.to_tensor("cpu", dtype=torch.float16)
    assert half.dtype == torch.float16
    assert (half.float() - frame.to_tensor()).abs().max() < 1e-3
    with pytest.raises(ValueError, match="'bytes' is none of 'signed', 'unit', 'uint8'"):
        frame.to_tensor(range="bytes")


def test_a_tensor_is_private(frame):
    before = frame.to_ndarray()
    for name in ("signed", "unit", "uint8"):
        frame.to_tensor(range=name).zero_()
    assert np.array_equal(frame.to_ndarray(), before)
    tensor = frame.to_tensor()
    kept = tensor.clone()
    back = VideoFrame.from_tensor(tensor, like=frame)
    assert torch.equal(tensor, kept)
    expected = back.to_ndarray()
    tensor.zero_()
    assert np.array_equal(back.to_ndarray(), expected)


@pytest.mark.parametrize("name", ["signed", "unit", "uint8"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_the_way_back_is_that_of_the_array_to_the_last_bit(frame, name, dtype):
    if (name == "uint8") != (dtype == "uint8"):
        return
    tensor = frame.to_tensor(range=name, dtype=getattr(torch, dtype))
    back = VideoFrame.from_tensor(tensor, like=frame, range=name)
    assert same(back, VideoFrame.from_ndarray(frame.to_ndarray(), like=frame))
    assert (back.pts, back.time_base) == (frame.pts, frame.time_base)
    assert back.sample_aspect_ratio == Fraction(4, 3)
    assert VideoFrame.from_tensor(tensor, like=frame, range=name, pts=3).pts == 3


def test_there_and_back_changes_little(frame):
    back = VideoFrame.from_tensor(frame.to_tensor(), like=frame)
    source = frame.to_ndarray("yuv420p").astype(int)
    error = np.abs(back.to_ndarray("yuv420p") - source)
    assert error.mean() < 1
    assert (error <= 2).mean() > 0.99


def test_tensors_of_each_form_show_the_same_picture(frame):
    tensor = frame.to_tensor()
    expected = VideoFrame.from_tensor(tensor, like=frame)
    apart = tensor.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    alpha = torch.cat([tensor, torch.zeros(1, 720, 1280, 1)], dim=3)
    for form in (
        tensor[0],
        apart,
        apart[0],
        alpha,
        alpha.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1),
        tensor.clone().requires_grad_(),
        tensor.double(),
        frame.to_tensor(range="uint8").permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1),
    ):
        assert same(VideoFrame.from_tensor(form, like=frame), expected, by=1)
    half = VideoFrame.from_tensor(tensor.half(), like=frame)
    assert same(half, expected, by=2)
    bfloat = VideoFrame.from_tensor(tensor.bfloat16(), like=frame)
    assert same(bfloat, expected, by=4)


@pytest.mark.parametrize("shape", [(1, 90, 160, 1), (90, 160, 1), (90, 160)])
def test_one_channel_is_gray(frame, shape):
    tensor = torch.linspace(-1, 1, 90 * 160).reshape(shape)
    back = VideoFrame.from_tensor(tensor, like=frame)
    assert all((plane == 128).all() for plane in back.planes[1:])
    expected = 16 + (tensor.reshape(90, 160).numpy() + 1) / 2 * 219
    assert np.abs(back.planes[0] - expected).max() < 1.1


def test_values_out_of_range_are_cut_off_and_nan_harms_nothing(frame):
    tensor = torch.tensor([-7.0, 7.0, 0.0]).expand(64, 64, 3)
    cut = torch.tensor([-1.0, 1.0, 0.0]).expand(64, 64, 3)
    expected = VideoFrame.from_tensor(cut, like=frame)
    assert same(VideoFrame.from_tensor(tensor, like=frame), expected)
    broken = tensor.clone()
    broken[:8] = float("nan")
    rest = VideoFrame.from_tensor(broken, like=frame).planes[0][16:]
    assert np.array_equal(rest, expected.planes[0][16:])


@pytest.mark.parametrize(
    ("shape", "dtype", "text"),
    [
        ((2, 72, 128, 3), "float32", r"\(2, 72, 128, 3\) float32 .* return a list"),
        ((1, 3, 72, 128), "float32", r"\(1, 3, 72, 128\) float32 .*\.permute\(0, 2, 3, 1\)"),
        ((3, 72, 128), "float16", r"\(3, 72, 128\) float16 .*\.permute\(1, 2, 0\)"),
        ((72, 128, 5), "float32", r"\(72, 128, 5\) float32 .* \(1, height, width, 3\)"),
        ((128,), "float32", r"\(128,\) float32 .* \(1, height, width, 3\)"),
        ((0, 128, 3), "float32", r"\(0, 128, 3\) float32"),
        ((1, 72, 128, 3), "int64", r"\(1, 72, 128, 3\) int64 .* floats in \[-1, 1\], or of uint8"),
        ((1, 72, 128, 3), "bool", r"\(1, 72, 128, 3\) bool .* floats in"),
    ],
)
def test_a_tensor_that_does_not_fit_is_shown_with_what_fits(frame, shape, dtype, text):
    with pytest.raises(ValueError, match=text):
        VideoFrame.from_tensor(small(shape, getattr(torch, dtype)), like=frame)


def test_a_range_that_does_not_fit_is_an_error(frame):
    with pytest.raises(ValueError, match=r"\(8, 8, 3\) uint8 is not in the range 'signed'"):
        VideoFrame.from_tensor(small((8, 8, 3), torch.uint8), like=frame, range="signed")
    with pytest.raises(ValueError, match="'bytes' is none of"):
        VideoFrame.from_tensor(small((8, 8, 3), torch.float32), like=frame, range="bytes")


def test_sound_there_and_back(sound):
    tensor = sound.to_tensor()
    assert tensor.shape == (1, 6, sound.samples)
    assert np.array_equal(tensor[0].numpy(), sound.to_ndarray())
    for form in (tensor, tensor[0], tensor.double(), tensor.clone().requires_grad_()):
        back = AudioFrame.from_tensor(form, like=sound)
        assert np.array_equal(back.to_ndarray(), sound.to_ndarray())
        assert (back.pts, back.time_base, back.layout) == (sound.pts, sound.time_base, "5.1")
    mono = AudioFrame.from_tensor(tensor[0, 0], like=sound, sample_rate=16000, pts=5)
    assert (mono.layout, mono.sample_rate, mono.pts) == ("mono", 16000, 5)


def test_whole_numbers_of_sound_become_one_to_minus_one():
    raw = av.AudioFrame.from_ndarray(
        np.array([[-32768, 0, 16384]], np.int16), format="s16", layout="mono"
    )
    raw.sample_rate = 8000
    assert AudioFrame(raw).to_tensor().tolist() == [[[-1.0, 0.0, 0.5]]]


@pytest.mark.parametrize(
    ("shape", "dtype", "text"),
    [
        ((2, 2, 480), "float32", r"\(2, 2, 480\) float32 .* \(1, channels, samples\)"),
        ((2, 480), "int16", r"\(2, 480\) int16 .* floats"),
        ((480, 2), "float32", r"\(480, 2\) float32 .* one of 1, 2, 6 channels"),
    ],
)
def test_sound_that_does_not_fit_is_shown_with_what_fits(sound, shape, dtype, text):
    with pytest.raises(ValueError, match=text):
        AudioFrame.from_tensor(small(shape, getattr(torch, dtype)), like=sound)


def test_a_frame_is_made_of_whatever_a_hook_may_return(frame, sound):
    assert as_frame(frame, frame) is frame
    assert same(as_frame(frame.to_ndarray(), frame), as_frame(frame.to_tensor(), frame))
    assert np.array_equal(as_frame(sound.to_tensor(), sound).to_ndarray(), sound.to_ndarray())
    with pytest.raises(TypeError, match="AudioFrame is no VideoFrame: emit_frame"):
        as_frame(sound, frame)


# What a device computes is computed here by the CPU, with the same code.


def nv12(frame, matrix, coding):
    raw = frame.raw.reformat(format="nv12")
    raw.colorspace, raw.color_range = matrix, coding
    return raw


@pytest.mark.parametrize("matrix", [1, 2, 6, 9])
@pytest.mark.parametrize("coding", [1, 2])
def test_a_device_reads_and_writes_colors_as_the_cpu_does(frame, matrix, coding):
    raw = nv12(frame, matrix, coding)
    levels = _device.levels_of_nv12(raw)
    assert levels.shape == (720, 1280, 3)
    planar = VideoFrame(raw.reformat(format="yuv420p"))
    difference = np.abs(levels.numpy() - planar.to_ndarray())
    assert difference.max() < 3.2
    assert difference.mean() < 1.3
    coded = VideoFrame(_device.picture_of_levels(levels, planar.raw))
    assert coded.format == "yuv420p"
    assert (coded.raw.colorspace, coded.raw.color_range) == (matrix, coding)
    array = levels.round().to(torch.uint8).numpy()
    assert same(coded, VideoFrame.from_ndarray(array, like=planar), by=2)


def test_a_device_takes_gray_and_opacity_too(frame):
    gray = torch.linspace(0, 255, 64 * 64).reshape(64, 64, 1)
    coded = VideoFrame(_device.picture_of_levels(gray, frame.raw))
    assert all((plane == 128).all() for plane in coded.planes[1:])
    rgba = torch.rand(64, 64, 4) * 255
    one, other = (_device.picture_of_levels(rgba[..., :end], frame.raw) for end in (3, 4))
    assert same(VideoFrame(one), VideoFrame(other))


@pytest.mark.parametrize("format", ["yuv420p", "nv12"])
def test_planes_are_seen_as_tensors_without_a_copy(format):
    raw = av.VideoFrame(128, 72, format)
    tensors = _device.plane_tensors(raw)
    assert tensors[0].shape == (72, 128)
    assert [part.data_ptr() for part in tensors] == [plane.buffer_ptr for plane in raw.planes]
    tensors[0].fill_(77)
    assert bytes(raw.planes[0])[:128] == b"\x4d" * 128
    held = tensors[1].fill_(5)
    del raw, tensors
    assert (held == 5).all()


def run(code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=100
    )


MAKE = """
import sys
{before}
import av, numpy
from livepeer.trickle.media import VideoFrame, as_frame
frame = VideoFrame(av.VideoFrame(64, 64, "yuv420p"))
"""


def test_torch_is_not_loaded_for_who_does_not_use_it():
    code = "as_frame(frame.to_ndarray(), frame); assert 'torch' not in sys.modules"
    done = run(MAKE.format(before="") + code)
    assert done.returncode == 0, done.stderr


def test_without_torch_a_tensor_says_what_is_missing():
    done = run(MAKE.format(before="sys.modules['torch'] = None") + "frame.to_tensor()")
    assert "ModuleNotFoundError: tensors need torch: pip install torch" in done.stderr
