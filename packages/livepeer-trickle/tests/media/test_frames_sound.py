"""Sound of eight channels and more: FFmpeg has room for eight planes, and PyAV counts beyond."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest

from livepeer.trickle.media import AudioEncoder, AudioFrame
from livepeer.trickle.media.memory import describe, pack, unpack

from .streams import Sound, read, transport_stream


def silence(layout, format="fltp"):
    raw = av.AudioFrame(format, layout, 1024)
    raw.sample_rate, raw.pts, raw.time_base = 48_000, 0, Fraction(1, 48_000)
    return AudioFrame(raw)


async def decoded(layout):
    if layout == "7.1":  # which newer muxers of transport streams refuse
        return in_matroska(layout)
    items, _ = await read([transport_stream(None, Sound(layout=layout, end_s=0.3))])
    return [item for item in items if isinstance(item, AudioFrame)]


def in_matroska(layout):
    file = BytesIO()
    with av.open(file, "w", format="matroska") as made:
        stream = made.add_stream("aac", rate=48_000, layout=layout)
        channels = stream.codec_context.layout.nb_channels
        tone = np.sin(np.arange(1024, dtype=np.float32) / 20) / 2
        for n in range(14):
            raw = av.AudioFrame("fltp", layout, 1024)
            raw.sample_rate, raw.pts, raw.time_base = 48_000, n * 1024, Fraction(1, 48_000)
            sound = AudioFrame.from_ndarray(np.tile(tone, (channels, 1)), like=AudioFrame(raw))
            made.mux(stream.encode(sound.raw))
        made.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as given:
        return [AudioFrame(raw) for raw in given.decode(audio=0)]


@pytest.mark.parametrize(("layout", "channels"), [("5.1", 6), ("7.1", 8)])
async def test_surround_of_a_real_track_is_read_handed_over_and_encoded(layout, channels):
    frames = await decoded(layout)
    frame = frames[5]
    array = frame.to_ndarray()
    assert (frame.layout, array.shape, array.dtype) == (layout, (channels, 1024), np.float32)
    assert all(np.abs(channel).max() > 0.01 for channel in array[:3])

    memory = memoryview(bytearray(describe(frame).size))
    again, _ = unpack(pack(frame, memory), memory)
    assert np.array_equal(again.to_ndarray(), array)

    back = AudioFrame.from_ndarray(array, like=frame)
    assert (back.layout, back.pts) == (layout, frame.pts)
    assert np.array_equal(back.to_ndarray(), array)
    assert np.array_equal(frame.sent().to_ndarray(), array)
    assert np.array_equal([f.sent() for f in (frame, frame)][1].to_ndarray(), array)

    encoder = AudioEncoder()
    units = [unit for frame in frames for unit in encoder.encode(frame)] + encoder.flush()
    assert len(units) >= len(frames)


@pytest.mark.parametrize("layout", ["mono", "7.1", "7.1.2", "hexadecagonal"])
@pytest.mark.parametrize("format", ["s16", "s16p", "flt", "dblp", "u8"])
def test_every_type_of_sample_comes_as_channels_and_samples(layout, format):
    frame = silence(layout, format)
    channels = frame.raw.layout.nb_channels
    memory = memoryview(bytearray(describe(frame).size))
    values = np.arange(channels * 1024).reshape(1024, channels) % 100
    types = {"s16": "i2", "s16p": "i2", "flt": "f4", "dblp": "f8", "u8": "u1"}
    laid = values.T if format.endswith("p") else values
    memory[:] = np.ascontiguousarray(laid, types[format]).tobytes()
    filled, _ = unpack(describe(frame), memory)
    assert np.array_equal(filled.to_ndarray(), values.T)
    assert filled.to_ndarray().dtype == types[format]
