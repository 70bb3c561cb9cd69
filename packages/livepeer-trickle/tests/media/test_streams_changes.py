"""Streams that change while they run: tracks that come and go, clocks that begin anew."""

from __future__ import annotations

from itertools import pairwise

import pytest

from livepeer.trickle.media import (
    TIME_BASE,
    AccessUnit,
    AudioFrame,
    Segmenter,
    StreamInfo,
    VideoEncoder,
    VideoFrame,
)

from .streams import (
    STEP,
    Sound,
    StrictReader,
    Video,
    by_time,
    coded_pictures,
    coded_sound,
    decoded_alone,
    number_of,
    picture,
    read,
    transport_stream,
    written,
)

BOTH = {"video": "h264", "audio": "aac"}
ENCODED = frozenset({"video", "audio"})


def pieces(units, codecs=None, segmenter=None):
    segmenter = segmenter or Segmenter(codecs or BOTH)
    return [segmenter.add(unit).data for unit in units]


def pictures(items):
    return [item for item in items if isinstance(item, VideoFrame)]


def sound(items):
    return [item for item in items if isinstance(item, AudioFrame)]


def units_of(items, kind):
    return [item for item in items if isinstance(item, AccessUnit) and item.kind == kind]


@pytest.mark.parametrize("decode", [(), ("video",), ("audio",), ("video", "audio")])
async def test_a_program_gains_a_track_and_loses_it_and_no_picture_is_missing(decode):
    segmenter = Segmenter({"video": "h264"})
    video = coded_pictures(range(100))
    stream = pieces(video[:30], segmenter=segmenter)
    segmenter.change(BOTH)
    stream += pieces(by_time(video[30:65], coded_sound(1.2, 2.6)), segmenter=segmenter)
    segmenter.change({"video": "h264"})
    stream += pieces(video[65:], segmenter=segmenter)

    items, stats = await read(stream, decode)

    infos = [item.codecs for item in items if isinstance(item, StreamInfo)]
    assert infos == [{"video": "h264"}, BOTH, {"video": "h264"}]
    assert stats.lost == stats.corrupt == 0
    if "video" in decode:
        assert [number_of(frame) for frame in pictures(items)] == list(range(100))
    else:
        assert [unit.pts for unit in units_of(items, "video")] == [n * STEP for n in range(100)]
    heard = sound(items) if "audio" in decode else units_of(items, "audio")
    assert len(heard) == pytest.approx(1.4 * 48000 / 1024, abs=2)

    segments = written(items)
    strict = StrictReader(segments)
    assert sorted(set(strict.versions)) == [0, 1, 2]
    again, _ = await read(segments, ("video", "audio"))
    assert [number_of(frame) for frame in pictures(again)] == list(range(100))
    assert len(sound(again)) == pytest.approx(1.4 * 48000 / 1024, abs=3)


async def test_pictures_do_not_wait_for_a_track_that_is_listed_and_silent():
    silent = pieces(coded_pictures(range(75)))
    items, _ = await read(silent)
    assert items[0] == StreamInfo(BOTH, ENCODED)
    assert [number_of(frame) for frame in pictures(items)] == list(range(75))

    late = by_time(coded_pictures(range(75)), coded_sound(2.0, 3.0))
    items, _ = await read(pieces(late))
    assert [number_of(frame) for frame in pictures(items)] == list(range(75))
    assert sound(items)[0].time == pytest.approx(2.0, abs=0.05)
    assert len([item for item in items if isinstance(item, StreamInfo)]) == 1


async def test_while_pictures_pause_sound_goes_on_in_segments_of_its_own():
    units = by_time(coded_pictures([*range(25), *range(250, 256)]), coded_sound(0, 10.3))
    items, _ = await read(pieces(units))
    segments = written(items)
    StrictReader(segments)
    alone = [decoded_alone(segment) for segment in segments]
    assert sum(len(images) for images, _ in alone) == 31
    assert all(sounds for _, sounds in alone)
    # From the fourth length of a segment on every one is cut again.
    assert len(segments) > 10


async def test_sound_changes_its_rate_and_its_channels():
    units = by_time(
        coded_pictures(range(75)),
        coded_sound(0, 1),
        coded_sound(1, 2, rate=44_100, layout="mono"),
        coded_sound(2, 3, rate=32_000, layout="5.1"),
    )
    items, stats = await read(pieces(units))
    assert stats.corrupt == 0
    shapes = [(frame.sample_rate, frame.layout) for frame in sound(items)]
    assert list(dict.fromkeys(shapes)) == [(48_000, "stereo"), (44_100, "mono"), (32_000, "5.1")]
    again, _ = await read(written(items))
    assert len(pictures(again)) == 75
    assert list(dict.fromkeys((f.sample_rate, f.layout) for f in sound(again))) == list(
        dict.fromkeys(shapes)
    )
    times = [frame.time for frame in sound(again)]
    assert times == sorted(times)
    # An encoder puts a frame in front and fills the last one up; here that is done twice.
    seconds = sum(frame.samples / frame.sample_rate for frame in sound(again))
    assert seconds == pytest.approx(3.0, abs=0.35)


async def test_pictures_change_their_size_and_their_rate():
    units = [
        *coded_pictures(range(30)),
        *coded_pictures(range(30, 60), size=(192, 108)),
        *coded_pictures(range(60, 100, 4), size=(64, 48)),
    ]
    items, stats = await read(pieces(units, {"video": "h264"}))
    assert stats.corrupt == 0
    assert [frame.pts // STEP for frame in pictures(items)] == [*range(60), *range(60, 100, 4)]
    segments = written(items)
    again = [image for segment in segments for image in decoded_alone(segment)[0]]
    sizes = [(image.width, image.height) for image in again]
    assert sizes == [(128, 72)] * 30 + [(192, 108)] * 30 + [(64, 48)] * 10


async def test_the_codec_changes():
    segmenter = Segmenter({"video": "h264", "audio": "aac"})
    first = by_time(coded_pictures(range(25)), coded_sound(0, 1))
    stream = pieces(first, segmenter=segmenter)
    other = transport_stream(
        Video(
            codec="libx265",
            pts=tuple(n * STEP for n in range(25, 50)),
            options={"x265-params": "log-level=none"},
        ),
        Sound(codec="mp2", begin_s=1.0),
    )
    items, _ = await read([*stream, other])
    numbers = [number_of(frame) for frame in pictures(items)]
    assert numbers == [*range(25), *range(25)]
    infos = [item.codecs for item in items if isinstance(item, StreamInfo)]
    assert infos[0] == BOTH
    assert infos[-1] == {"video": "hevc", "audio": "mp3"}
    assert len(sound(items)) > 70
    StrictReader(written(items))


JUMPS = {
    "back": (900_000, 0),
    "back by little": (60 * STEP, 0),
    "forward": (0, 900_000),
    "far forward": (0, 1 << 31),
}


@pytest.mark.parametrize("decode", [(), ("video", "audio")])
@pytest.mark.parametrize("name", JUMPS)
async def test_a_clock_that_begins_anew_is_followed(name, decode):
    before, after = JUMPS[name]
    units = [
        *by_time(coded_pictures(range(30), shift=before), coded_sound(0, 1.2, shift=before)),
        *by_time(coded_pictures(range(40), shift=after), coded_sound(0, 1.6, shift=after)),
    ]
    expected = [n * STEP + before for n in range(30)] + [n * STEP + after for n in range(40)]

    items, stats = await read(pieces(units), decode)
    video = pictures(items) or units_of(items, "video")
    assert [item.pts for item in video] == expected
    assert stats.corrupt == stats.waiting == 0

    segments = written(items)
    # What goes forward by less than players bear is a hole, and no other clock.
    assert StrictReader(segments).jumps == (name != "forward")
    again, _ = await read(segments, ("video", "audio"))
    assert [frame.pts for frame in pictures(again)] == expected
    numbers = [number_of(frame) for frame in pictures(again)]
    assert numbers == [*range(30), *range(40)]
    # Sound stays level with the pictures on both sides, up to what the encoder puts before it.
    heard = [frame.pts for frame in sound(again)]
    jump = next(i for i in range(1, len(heard)) if abs(heard[i] - heard[i - 1]) > 20_000)
    assert heard[jump] == pytest.approx(after, abs=2 * 1920 + 10)
    assert heard[jump - 1] == pytest.approx(before + 1.2 * 90_000, abs=3 * 1920)


@pytest.mark.parametrize("decode", [(), ("video", "audio")])
async def test_times_go_on_rising_where_33_bits_wrap(decode):
    shift = (1 << 33) - 120 * 90_000
    units = by_time(
        coded_pictures([*range(5), *range(2990, 3030)], shift=shift),
        coded_sound(0, 0.2, shift=shift),
        coded_sound(119.6, 121, shift=shift),
    )
    items, _ = await read(pieces(units), decode)
    video = pictures(items) or units_of(items, "video")
    times = [item.pts - shift for item in video]
    assert times == [n * STEP for n in [*range(5), *range(2990, 3030)]]
    heard = sound(items) or units_of(items, "audio")
    assert heard[-1].pts == pytest.approx(shift + 121 * 90_000, abs=3 * 1920)
    assert all(a.pts < b.pts for a, b in pairwise(heard))
    segments = written(items)
    assert StrictReader(segments).jumps == 1  # the hole of two minutes, and not the wrap


def test_a_hook_that_answers_unevenly_does_not_begin_the_clock_anew():
    encoder = VideoEncoder()
    frames = [VideoFrame(picture(n, pts=pts)) for n, pts in enumerate((0, 9000, 9000, 3600, 12600))]
    units = [unit for frame in frames for unit in encoder.encode(frame)]
    assert [unit.pts for unit in units] == [0, 9000, 9001, 9002, 12600]
    assert [unit.key for unit in units] == [True, False, False, False, False]
    assert frames[0].time_base == TIME_BASE


def starts(units, segmenter):
    return [unit.pts / 90_000 for unit in units if segmenter.add(unit).starts]


def test_sound_is_cut_where_the_video_that_was_announced_never_comes():
    segmenter = Segmenter(BOTH)
    cuts = starts(coded_sound(0, 12), segmenter)
    assert cuts[0] <= 0 < 3.9 < cuts[1] < 4.1
    assert all(1 <= later - cut < 1.1 for cut, later in pairwise(cuts[1:]))
    # When it comes after all, its key frames lead.
    both = by_time(coded_pictures(range(300, 375)), coded_sound(12, 15))
    lead = {unit.pts / 90_000 for unit in both if unit.kind == "video" and unit.key}
    assert set(starts(both, segmenter)) - lead <= {both[0].pts / 90_000}


def test_sound_is_not_cut_before_video_that_begins_late():
    units = by_time(coded_sound(0, 6), coded_pictures(range(75, 150)))
    video = [unit.pts / 90_000 for unit in units if unit.kind == "video" and unit.key]
    assert starts(units, Segmenter(BOTH))[1:] == video


def test_sound_is_cut_also_where_its_clock_began_anew():
    segmenter = Segmenter(BOTH)
    starts(coded_sound(100, 107), segmenter)
    assert len(starts(coded_sound(0, 10), segmenter)) >= 5
