"""Streams as senders make them, through the reader, the encoders and the segmenter."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import av
import pytest

from livepeer.trickle.media import (
    AccessUnit,
    AudioFrame,
    BytePipe,
    MediaReader,
    StreamInfo,
    VideoFrame,
)

from .streams import (
    STEP,
    Sound,
    StrictReader,
    Video,
    coded_pictures,
    coded_sound,
    decoded_alone,
    number_of,
    read,
    transport_stream,
    written,
)

REORDERED = {"bf": "3", "g": "15", "x264-params": "b-adapt=0"}
HEVC = {"x265-params": "log-level=none:keyint=15:bframes=2"}
# A phone's camera: anything from 17 to 250 ms between two pictures.
UNEVEN = tuple(sum((1530, 2970, 9000, 22500, 3600)[m % 5] for m in range(n)) for n in range(40))

STREAMS: dict[str, tuple[Video | None, Sound | None, dict[str, str]]] = {
    "no reordering": (Video(options={"tune": "zerolatency"}), Sound(), {}),
    "B-frames": (Video(options=REORDERED), Sound(), {}),
    "PES with lengths": (Video(options=REORDERED), Sound(), {"omit_video_pes_length": "0"}),
    "variable rate": (Video(pts=UNEVEN, options=REORDERED), Sound(end_s=3.5), {}),
    "10 bit, 4:2:2": (Video(format="yuv422p10le"), Sound(), {}),
    "HEVC": (Video(codec="libx265", options=HEVC), Sound(), {}),
    "MPEG-2, MP2": (
        Video(codec="mpeg2video", options={"g": "12", "bf": "2"}),
        Sound(codec="mp2"),
        {},
    ),
    "MPEG-4, MP3 at 44.1 kHz": (
        Video(codec="mpeg4"),
        Sound(codec="libmp3lame", rate=44_100),
        {},
    ),
    "AAC mono at 44.1 kHz": (Video(), Sound(rate=44_100, layout="mono"), {}),
    "AAC 5.1": (Video(), Sound(layout="5.1"), {}),
    "LATM": (Video(), Sound(), {"mpegts_flags": "latm"}),
    "AC-3 5.1": (Video(), Sound(codec="ac3", layout="5.1(side)"), {}),
    "E-AC-3": (Video(), Sound(codec="eac3"), {}),
    "Opus": (Video(), Sound(codec="libopus"), {}),
    "video only": (Video(), None, {}),
    "audio only": (None, Sound(), {}),
    "audio begins late": (Video(), Sound(begin_s=1.2), {}),
    "at 80000 s": (Video(), Sound(), {"output_ts_offset": "80000"}),
}


def only(items, kind):
    return [item for item in items if isinstance(item, kind)]


def level(frames):
    """From the first sample to the end of the last, and what is between, in seconds."""
    ends = frames[-1].time + frames[-1].samples / frames[-1].sample_rate
    return ends - frames[0].time, sum(f.samples / f.sample_rate for f in frames)


@pytest.mark.parametrize("name", STREAMS)
async def test_every_frame_comes_with_its_time_and_goes_out_in_segments(name):
    video, sound, options = STREAMS[name]
    items, stats = await read([transport_stream(video, sound, **options)], chunk=1316)

    assert (stats.corrupt, stats.lost, stats.unreadable) == (0, 0, [])
    assert isinstance(items[0], StreamInfo)
    assert items[0].codecs.keys() == items[0].decoded
    pictures, heard = only(items, VideoFrame), only(items, AudioFrame)
    if video is not None:
        times = video.times()
        assert [number_of(frame) for frame in pictures] == list(range(len(times)))
        # MPEG-TS is offset by what the sender's reordering needs; between pictures nothing moves.
        assert [f.pts - pictures[0].pts for f in pictures] == [t - times[0] for t in times]
    if sound is not None:
        extent, samples = level(heard)
        assert extent == pytest.approx(samples, abs=0.001)
        assert samples == pytest.approx(sound.end_s - sound.begin_s, abs=0.07)
    if video is not None and sound is not None:
        # The encoder's delay is at most two of its frames.
        assert heard[0].time - pictures[0].time == pytest.approx(sound.begin_s, abs=0.05)
    _check_segments(items, video is not None)


def _check_segments(items, with_video):
    segments = written(items)
    strict = StrictReader(segments)
    pictures, heard = only(items, VideoFrame), only(items, AudioFrame)
    assert strict.jumps == 0
    assert strict.clocks == sorted(strict.clocks)
    alone = [decoded_alone(segment) for segment in segments]
    assert sum(len(images) for images, _ in alone) == len(pictures)
    assert all(images for images, _ in alone) or not with_video
    if pictures:
        times = [image.pts for images, _ in alone for image in images]
        assert times == [frame.pts for frame in pictures]
    if heard:
        seconds = sum(f.samples / f.sample_rate for _, sounds in alone for f in sounds)
        assert seconds == pytest.approx(level(heard)[1], abs=0.06)


@pytest.mark.parametrize(
    "name", [n for n in STREAMS if n not in ("Opus", "audio only", "MPEG-4, MP3 at 44.1 kHz")]
)
async def test_what_is_not_decoded_is_copied_byte_for_byte(name):
    video, sound, options = STREAMS[name]
    stream = transport_stream(video, sound, **options)
    items, stats = await read([stream], decode=())
    again, _ = await read(written(items), decode=())

    units = only(items, AccessUnit)
    assert stats.waiting == stats.corrupt == 0
    # A delimiter in front of pictures is all that may be added.
    for before, after in zip(units, only(again, AccessUnit), strict=True):
        assert (after.kind, after.pts, after.dts, after.key) == (
            before.kind, before.pts, before.dts, before.key,
        )  # fmt: skip
        assert after.data.endswith(before.data)
    StrictReader(written(items))


async def test_sound_that_cannot_be_carried_is_encoded_and_pictures_are_copied():
    video, sound, options = STREAMS["Opus"]
    items, _ = await read([transport_stream(video, sound, **options)], decode=())
    assert items[0] == StreamInfo({"video": "h264", "audio": "opus"}, frozenset({"audio"}))
    segments = written(items)
    assert {s.stream_type for s in StrictReader(segments).streams.values()} == {0x1B, 0x0F}
    assert len(only((await read(segments, decode=()))[0], AccessUnit)) > 140


async def test_a_stream_that_is_cut_anywhere_reads_the_same():
    stream = transport_stream(Video(options=REORDERED), Sound())
    whole, _ = await read([stream], decode=())
    for chunk in (1, 187, 188, 1000, 65_536):
        cut, stats = await read([stream], decode=(), chunk=chunk)
        assert cut == whole
        assert stats.lost == 0


async def test_a_real_clip_keeps_picture_and_sound_level(tmp_path):
    clip = Path(__file__).parents[4] / "examples/assets/bigbuckbunny.mp4"
    copy = tmp_path / "clip.ts"
    with av.open(str(clip)) as source, av.open(str(copy), "w") as output:
        tracks = {s: output.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is not None and packet.dts * packet.time_base < 3:
                packet.stream = tracks[packet.stream]
                output.mux(packet)
    with av.open(str(copy)) as source:
        expected = [f for f in source.decode() if f.pts is not None]
    items, stats = await read([copy.read_bytes()])
    pictures = [f.pts for f in expected if isinstance(f, av.VideoFrame)]
    assert [frame.pts for frame in only(items, VideoFrame)] == pictures
    heard = [f.pts for f in expected if isinstance(f, av.AudioFrame)]
    mine = [frame.pts for frame in only(items, AudioFrame)]
    assert [abs(a - b) <= 1 for a, b in zip(mine, heard, strict=True)] == [True] * len(heard)
    assert stats.corrupt == 0
    _check_segments(items, with_video=True)


def _take(pipe, arrived, counts):
    for item in MediaReader(pipe, decode=frozenset({"video"})):
        if isinstance(item, VideoFrame):
            counts.append(item.pts)
            arrived.release()


async def test_a_picture_without_a_length_comes_with_its_own_last_byte():
    """The padding of its last packet tells that it is whole; the next picture is not awaited."""
    stream = transport_stream(Video(frames=20, options={"tune": "zerolatency"}), None)
    packets = [stream[at : at + 188] for at in range(0, len(stream), 188)]
    begins = [
        at
        for at, packet in enumerate(packets)
        if packet[1] & 0x40 and int.from_bytes(packet[1:3], "big") & 0x1FFF == 0x100
    ]
    pipe, arrived, counts = BytePipe(), threading.Semaphore(0), list[int]()
    thread = threading.Thread(target=_take, args=(pipe, arrived, counts))
    thread.start()
    try:
        at, waited = 0, 0
        for number, end in enumerate([*begins[1:], len(packets)]):
            await pipe.write(b"".join(packets[at:end]))
            at = end
            # Believed after three; and one whose last packet is full by chance is not seen.
            if number >= 4 and packets[end - 1][3] & 0x20:
                deadline = time.monotonic() + 10
                while len(counts) < number + 1 and time.monotonic() < deadline:
                    arrived.acquire(timeout=0.1)
                assert len(counts) == number + 1
                waited += 1
        assert waited > 5
    finally:
        pipe.close()
        thread.join()
    assert len(counts) == 20


async def test_streams_of_our_own_sender_keep_their_holes():
    units = sorted(
        coded_pictures([*range(25), *range(75, 100)]) + coded_sound(0, 1) + coded_sound(3, 4),
        key=lambda unit: unit.dts,
    )
    items, _ = await read(
        written([StreamInfo({"video": "h264", "audio": "aac"}, frozenset()), *units])
    )
    pictures = [frame.pts // STEP for frame in only(items, VideoFrame)]
    assert pictures == [*range(25), *range(75, 100)]
    heard = only(items, AudioFrame)
    extent, samples = level(heard)
    assert extent - samples == pytest.approx(2.0, abs=0.06)
    second = next(frame for frame in heard if frame.time > 2)
    assert second.time == pytest.approx(3.0, abs=0.05)
