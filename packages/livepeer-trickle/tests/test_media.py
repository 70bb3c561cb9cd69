"""The codec glue on real H.264 and AAC."""

from __future__ import annotations

import asyncio
import threading
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from livepeer.trickle.media import (
    AccessUnit,
    AudioEncoder,
    AudioFrame,
    BytePipe,
    MediaReader,
    Segmenter,
    StreamInfo,
    VideoEncoder,
    VideoFrame,
)
from livepeer.trickle.media._mpegts import PACKET_BYTES, TSMuxer
from livepeer.trickle.media.adts import ADTSHeader, is_adts
from livepeer.trickle.media.clock import TIME_BASE


def picture(n, width=320, height=180, step=3600):
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)
    image[..., 1] = (n * 16) % 256
    raw = av.VideoFrame.from_ndarray(image, format="rgb24")
    raw.pts, raw.time_base = n * step, TIME_BASE
    return VideoFrame(raw)


def tone(n, samples=1024, rate=48000, layout="stereo"):
    channels = 2 if layout == "stereo" else 1
    at = np.arange(n * samples, (n + 1) * samples)
    wave = (np.sin(at * 2 * np.pi * 440 / rate) * 0.5).astype(np.float32)
    raw = av.AudioFrame.from_ndarray(np.tile(wave, (channels, 1)), format="fltp", layout=layout)
    raw.sample_rate, raw.pts, raw.time_base = rate, n * samples, Fraction(1, rate)
    return AudioFrame(raw)


def encoded(frames=12, **shape):
    encoder = VideoEncoder()
    units = [unit for n in range(frames) for unit in encoder.encode(picture(n, **shape))]
    return units + encoder.flush()


async def read(pieces, decode=frozenset()):
    pipe = BytePipe(limit_bytes=64 * 1024)
    reader, items = MediaReader(pipe, decode=decode), []
    thread = threading.Thread(target=lambda: items.extend(reader))
    thread.start()
    for piece in pieces:
        if piece is None:
            pipe.cut()
        else:
            await pipe.write(piece)
    pipe.close()
    await asyncio.to_thread(thread.join)
    return items, reader.stats


async def test_units_come_back_from_a_real_demuxer_as_they_went_in():
    sound = AudioEncoder()
    audio = [unit for n in range(20) for unit in sound.encode(tone(n))] + sound.flush()
    units = sorted(encoded(30) + audio, key=lambda unit: unit.dts)
    segmenter = Segmenter({"video": "h264", "audio": "aac"})
    items, stats = await read([segmenter.add(unit).data for unit in units])
    assert isinstance(items[0], StreamInfo)
    assert items[0].codecs == {"video": "h264", "audio": "aac"}
    assert stats.corrupt == 0
    for kind in ("video", "audio"):
        sent = [unit for unit in units if unit.kind == kind]
        got = [item for item in items[1:] if item.kind == kind]
        assert [(u.pts, u.dts, u.key) for u in got] == [(u.pts, u.dts, u.key) for u in sent]
        assert all(g.data.endswith(s.data) for g, s in zip(got, sent, strict=True))


async def test_each_picture_is_out_with_its_own_last_byte():
    pieces = [Segmenter({"video": "h264"}).add(unit).data for unit in encoded(1)]
    units = encoded(8)
    segmenter = Segmenter({"video": "h264"})
    pieces = [segmenter.add(unit).data for unit in units]
    pipe = BytePipe()
    arrived = threading.Semaphore(0)

    def consume():
        for item in MediaReader(pipe, decode=frozenset({"video"})):
            if isinstance(item, VideoFrame):
                arrived.release()

    thread = threading.Thread(target=consume)
    thread.start()
    try:
        # The probe takes the first units; from then on one unit in gives one picture out.
        for piece in pieces[:3]:
            await pipe.write(piece)
        for _ in range(3):
            assert await asyncio.to_thread(arrived.acquire, timeout=10)
        for piece in pieces[3:]:
            await pipe.write(piece)
            assert await asyncio.to_thread(arrived.acquire, timeout=10)
    finally:
        pipe.close()
        await asyncio.to_thread(thread.join)


@settings(deadline=None, max_examples=60)
@given(sizes=st.lists(st.integers(1, 1500), min_size=1, max_size=8), big=st.integers(60000, 70000))
def test_every_size_of_unit_fills_whole_packets_and_survives(sizes, big):
    muxer = TSMuxer({"audio": "ac3"})
    stream = muxer.tables()
    payloads = [bytes([n % 251]) * size for n, size in enumerate([*sizes, big % 65000])]
    for n, payload in enumerate(payloads):
        stream += muxer.mux(AccessUnit("audio", payload, n * 90, n * 90, True))
    assert len(stream) % PACKET_BYTES == 0
    packets = [stream[at : at + PACKET_BYTES] for at in range(0, len(stream), PACKET_BYTES)]
    assert {packet[0] for packet in packets} == {0x47}
    bodies, counter = [], 0
    for packet in packets[2:]:
        assert packet[3] & 0xF == counter
        counter = (counter + 1) & 0xF
        payload = packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]
        if packet[1] & 0x40:
            payload = payload[9 + payload[8] :]
            bodies.append(b"")
        bodies[-1] += payload
    assert bodies == payloads


async def test_segments_begin_with_tables_and_a_key_frame_and_stand_alone():
    segmenter = Segmenter({"video": "h264"}, segment_s=1.0)
    segments = []
    for unit in encoded(75):
        piece = segmenter.add(unit)
        if piece.starts:
            segments.append(b"")
            assert unit.key
        segments[-1] += piece.data
    assert len(segments) == 3
    for segment in segments:
        items, _ = await read([segment], decode=frozenset({"video"}))
        assert len(items) == 26


def test_a_stream_without_key_frames_is_cut_by_size():
    segmenter = Segmenter({"video": "h264"}, max_segment_bytes=10_000)
    unit = AccessUnit("video", b"\x00\x00\x01\x01" + b"x" * 4000, 0, 0, False)
    assert [segmenter.add(unit).starts for _ in range(6)] == [
        True,
        False,
        False,
        True,
        False,
        False,
    ]


async def test_a_gap_begins_a_new_run_and_garbage_is_skipped():
    def run():
        segmenter = Segmenter({"video": "h264"})
        return [segmenter.add(unit).data for unit in encoded(5)]

    pieces = [*run(), None, b"\x00" * 200_000, None, *run()]
    items, stats = await read(pieces, decode=frozenset({"video"}))
    assert sum(isinstance(item, VideoFrame) for item in items) == 10
    assert stats.runs == 3
    assert len(stats.unreadable) <= 1


async def test_writing_into_planes_does_not_touch_later_frames():
    segmenter = Segmenter({"video": "h264"})
    pieces = [segmenter.add(unit).data for unit in encoded(20)]
    clean, _ = await read(pieces, decode=frozenset({"video"}))
    expected = [frame.planes[0].copy() for frame in clean[1:]]

    pipe = BytePipe()
    for piece in pieces:
        await pipe.write(piece)
    pipe.close()
    seen = []

    def deface():
        for item in MediaReader(pipe, decode=frozenset({"video"})):
            if isinstance(item, VideoFrame):
                seen.append(item.planes[0].copy())
                for plane in item.planes:
                    plane[:] = 255

    await asyncio.to_thread(deface)
    assert len(seen) == 20
    assert all(np.array_equal(a, b) for a, b in zip(seen, expected, strict=True))


@pytest.mark.parametrize("size", [(321, 181), (320, 181), (321, 180), (16, 16), (1, 1)])
def test_odd_sizes_are_encoded_one_pixel_larger(size):
    units = encoded(3, width=size[0], height=size[1])
    assert len(units) == 3
    decoder = av.CodecContext.create("h264", "r")
    frames = [f for unit in units for f in decoder.decode(av.Packet(unit.data))]
    frames += decoder.decode(None)
    assert {(f.width, f.height) for f in frames} == {(size[0] + size[0] % 2, size[1] + size[1] % 2)}


def test_a_change_of_size_goes_on_with_a_key_frame():
    encoder = VideoEncoder()
    units = encoder.encode(picture(0)) + encoder.encode(picture(1))
    units += encoder.encode(picture(2, width=640, height=360)) + encoder.flush()
    assert [(unit.pts, unit.key) for unit in units] == [(0, True), (3600, False), (7200, True)]


def test_times_that_do_not_rise_are_moved_behind_the_last():
    encoder = VideoEncoder()
    frames = [picture(n) for n in (0, 5, 5, 3)]
    units = [unit for frame in frames for unit in encoder.encode(frame)]
    assert [unit.pts for unit in units] == [0, 18000, 18001, 18002]


def test_sound_keeps_its_times_across_a_hole():
    encoder = AudioEncoder()
    units = [u for n in (*range(10), *range(60, 70)) for u in encoder.encode(tone(n))]
    units += encoder.flush()
    assert all(is_adts(unit.data) for unit in units)
    tick = 1024 * 90000 // 48000
    late = [unit.pts for unit in units if unit.pts >= 55 * tick]
    assert abs(late[0] - 59 * tick) <= tick
    assert len(late) >= 10
    assert not [unit for unit in units if 12 * tick < unit.pts < 55 * tick]


@pytest.mark.parametrize("config", [b"", b"\x2b\x92", b"\x17\x80", b"\x11\x80"])
def test_aac_that_adts_cannot_say_is_refused(config):
    with pytest.raises(ValueError, match="A"):
        ADTSHeader(config)


async def test_a_full_pipe_makes_its_writer_wait_and_an_abort_frees_it():
    pipe = BytePipe(limit_bytes=10)
    await pipe.write(b"x" * 10)
    writing = asyncio.create_task(pipe.write(b"y"))
    await asyncio.sleep(0.05)
    assert not writing.done()
    assert await asyncio.to_thread(pipe.read, 4) == b"xxxx"
    await asyncio.wait_for(writing, 5)
    blocked = asyncio.create_task(pipe.write(b"z" * 10))
    await asyncio.sleep(0)
    pipe.abort()
    await asyncio.wait_for(blocked, 5)
    assert await asyncio.to_thread(pipe.read, 4) == b""
