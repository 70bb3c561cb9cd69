"""Sound as numpy arrays, and back. Below the frames: it knows PyAV's alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, SupportsIndex

import av
from av.audio.plane import AudioPlane

from ._arrays import describe, time_like
from ._numpy import np
from ._refusals import check_array, named

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HIGHEST_RATE: Final = 768_000
# By the name of the type's packed format.
_DTYPES: Final = {"flt": "f4", "dbl": "f8", "u8": "u1", "s16": "i2", "s32": "i4"}
_SAMPLES: Final = {"float32": "fltp", "int16": "s16p", "int32": "s32p"}


def sound_planes(raw: av.AudioFrame) -> list[AudioPlane]:
    """The planes of sound, one for each channel, or one for all.

    Of eight channels PyAV's own tuple has a ninth, which points nowhere.
    """
    count = raw.layout.nb_channels if raw.format.is_planar else 1
    return [AudioPlane(raw, index) for index in range(count)]


def copied_sound(raw: av.AudioFrame) -> av.AudioFrame:
    """The same sound in memory of its own."""
    layout: Any = raw.layout  # PyAV's stubs know names only
    twin = av.AudioFrame(raw.format.name, layout, raw.samples)
    for here, there in zip(sound_planes(raw), sound_planes(twin), strict=True):
        size = min(here.buffer_size, there.buffer_size)
        memoryview(there)[:size] = memoryview(here)[:size]
    twin.sample_rate = raw.sample_rate
    time_like(twin, raw)
    return twin


def sound_to_array(raw: av.AudioFrame) -> NDArray[Any]:
    """A private copy of the samples as (channels, samples).

    Raises:
        ValueError: The samples are of a type that numpy has not.
    """
    dtype = _DTYPES.get(raw.format.packed.name)
    if dtype is None:
        known = ", ".join(_DTYPES)
        raise ValueError(f"sound of {raw.format.name} is no array: it would have to be of {known}")
    channels, planes = raw.layout.nb_channels, sound_planes(raw)
    count = raw.samples * channels // len(planes)
    rows = [np.frombuffer(memoryview(plane), dtype, count) for plane in planes]
    if raw.format.is_planar:
        return np.stack(rows)
    return np.array(rows[0].reshape(-1, channels).T, order="C")


def array_to_sound(array: NDArray[Any], like: av.AudioFrame, sample_rate: int) -> av.AudioFrame:
    """Sound of (channels, samples), or (samples,) for one channel.

    Raises:
        TypeError: It is no array, or the rate is no whole number.
        ValueError: The array's shape or type, or the rate, does not fit.
    """
    check_array(array, ": from_tensor takes tensors, numpy.asarray makes arrays of lists")
    _check_rate(sample_rate)
    samples = array[np.newaxis] if array.ndim == 1 else array
    if samples.dtype == np.float64:
        samples = samples.astype(np.float32)
    layouts = {1: "mono", 2: "stereo", like.layout.nb_channels: like.layout.name}
    format = _SAMPLES.get(str(samples.dtype))
    if format is None or samples.ndim != 2 or samples.shape[0] not in layouts or not samples.size:
        counts = ", ".join(map(str, sorted(layouts)))
        raise ValueError(
            f"an array of {describe(array)} does not fit: sound is (channels, samples) of float32"
            f" in [-1, 1], int16 or int32, with one of {counts} channels"
        )
    layout: Any = layouts[samples.shape[0]]  # PyAV's stubs know a few names only
    raw = av.AudioFrame(format, layout, samples.shape[1])
    for plane, channel in zip(sound_planes(raw), samples, strict=True):
        np.copyto(np.frombuffer(memoryview(plane), samples.dtype, len(channel)), channel)
    raw.sample_rate = int(sample_rate)
    return raw


def _check_rate(sample_rate: object) -> None:
    if not isinstance(sample_rate, SupportsIndex):
        raise TypeError(f"sample_rate is {named(sample_rate)}: it is a number of samples, an int")
    if not 0 < int(sample_rate) <= _HIGHEST_RATE:
        raise ValueError(f"sample_rate is {sample_rate}: it is from 1 to {_HIGHEST_RATE}")
