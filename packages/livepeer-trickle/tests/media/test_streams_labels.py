"""What an encoded stream says of itself: its rate, its colors, the shape of its pixels."""

from __future__ import annotations

import io
import random
from fractions import Fraction

import av
import pytest

from livepeer.trickle.media import Segmenter, VideoEncoder, VideoFrame

from .streams import Video, picture, read, transport_stream, written

RATES = [
    Fraction(10),
    Fraction(24),
    Fraction(25),
    Fraction(30_000, 1001),
    Fraction(50),
    Fraction(60),
]


def segments_of(times, says=None):
    """Segments of our own encoder, of pictures at these times."""
    encoder, segmenter, segments = VideoEncoder(), Segmenter({"video": "h264"}), list[bytes]()
    keys = 0
    for pts in times:
        # Always the same picture: x264 makes a key frame of one that is quite another.
        for unit in encoder.encode(VideoFrame(picture(0, pts=pts), frame_rate=says)):
            keys += unit.key
            piece = segmenter.add(unit)
            if piece.starts:
                segments.append(b"")
            segments[-1] += piece.data
    return segments, keys


def label_of(segment):
    """The rate that the parameters of a segment name."""
    with av.open(io.BytesIO(segment)) as container:
        stream = container.streams.video[0]
        next(container.decode(stream))
        return stream.codec_context.framerate


def evenly(rate, seconds):
    return [round(number * 90_000 / rate) for number in range(int(rate * seconds))]


def turns(segments):
    labels = [label_of(segment) for segment in segments]
    return [label for at, label in enumerate(labels) if at == 0 or label != labels[at - 1]]


@pytest.mark.parametrize("rate", RATES)
def test_a_stream_has_the_rate_of_its_source(rate):
    segments, _ = segments_of(evenly(rate, 2.5), says=rate)
    assert turns(segments) == [rate]
    with av.open(io.BytesIO(b"".join(segments))) as container:
        stream = container.streams.video[0]
        assert (stream.guessed_rate, stream.average_rate) == (rate, rate)


@pytest.mark.parametrize("says", [None, Fraction(90_000), Fraction(15)])
@pytest.mark.parametrize("rate", RATES)
def test_a_source_that_says_nothing_or_something_else_is_counted(rate, says):
    segments, keys = segments_of(evenly(rate, 4.5), says=says)
    assert abs(turns(segments)[-1] - rate) < rate / 100
    assert len(turns(segments)) <= 2
    assert keys == len(segments)


async def test_the_rate_comes_through_a_reader():
    items, _ = await read(segments_of(evenly(25, 2), says=Fraction(25))[0])
    pictures = [item for item in items if isinstance(item, VideoFrame)]
    assert {frame.frame_rate for frame in pictures} == {Fraction(25)}
    like = pictures[0]
    made = VideoFrame.from_ndarray(like.to_ndarray(), like=like)
    assert made.frame_rate == 25
    assert turns(written(items)) == [25]
    mpeg2 = transport_stream(Video(codec="mpeg2video", frames=5), None)
    items, _ = await read([mpeg2])
    assert {f.frame_rate for f in items if isinstance(f, VideoFrame)} == {Fraction(25)}


def test_jitter_is_no_other_rate():
    chance = random.Random(1)
    times = [number * 3000 + chance.randrange(1000) for number in range(200)]
    assert turns(segments_of(times)[0]) == [30]


def test_an_uneven_rate_does_not_begin_an_encoder_again_and_again():
    chance = random.Random(2)
    times, at = list[int](), 0
    for _ in range(40):
        step = chance.choice([3000, 4500, 6000, 9000, 18_000])
        for _ in range(4 * 90_000 // step):
            times.append(at)
            at += step
    segments, keys = segments_of(times)
    assert len(turns(segments)) <= 7
    # And never with a key frame that was not due.
    assert keys == len(segments)


@pytest.mark.parametrize(
    ("name", "value"),
    [("colorspace", 1), ("color_range", 2), ("color_primaries", 1), ("color_trc", 1)],
)
def test_a_change_of_colors_changes_the_label(name, value):
    encoder = VideoEncoder()
    units = encoder.encode(VideoFrame(picture(0)))
    changed = picture(1)
    setattr(changed, name, value)
    units += encoder.encode(VideoFrame(changed))
    units += encoder.encode(VideoFrame(changed, sample_aspect_ratio=Fraction(4, 3)))
    assert [unit.key for unit in units] == [True, True, True]
    labels = []
    for unit in units:
        decoder = av.CodecContext.create("h264", "r")
        [frame] = decoder.decode(av.Packet(unit.data)) + decoder.decode(None)
        labels.append((getattr(frame, name), decoder.sample_aspect_ratio))
    assert [label for label, _ in labels][1:] == [value, value]
    assert labels[0][0] != value
    assert labels[2][1] == Fraction(4, 3)
