"""Streams with something wrong: bytes missing, bytes damaged, odd senders."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from livepeer.trickle.media import AccessUnit, AudioFrame, BytePipe, Segmenter, VideoFrame

from .streams import (
    STEP,
    Sound,
    Video,
    by_time,
    coded_pictures,
    coded_sound,
    number_of,
    read,
    transport_stream,
)

CODECS = {
    "h264": Video(frames=60, options={"g": "15", "x264-params": "b-adapt=0:bframes=3"}),
    "h264, no reordering": Video(frames=60, options={"g": "15", "tune": "zerolatency"}),
    "hevc": Video(
        codec="libx265",
        frames=60,
        options={"x265-params": "log-level=none:keyint=15:min-keyint=15:bframes=2"},
    ),
    "mpeg2": Video(codec="mpeg2video", frames=60, options={"g": "15", "bf": "2"}),
}
DELIMITER = b"\x00\x00\x00\x01\x09\xf0"


def numbers(items):
    return [number_of(item) for item in items if isinstance(item, VideoFrame)]


def packets(stream):
    return [stream[at : at + 188] for at in range(0, len(stream), 188)]


def pieces(units, codecs):
    segmenter = Segmenter(codecs)
    return [segmenter.add(unit).data for unit in units]


@pytest.mark.parametrize("name", CODECS)
async def test_after_a_gap_pictures_go_on_clean_at_the_next_key_frame(name):
    stream = packets(transport_stream(CODECS[name], Sound(end_s=2.4)))
    third = len(stream) // 3
    tables = [stream[1], stream[2]] if stream[0][1:3] == b"\x40\x11" else stream[:2]
    items, stats = await read(
        [b"".join(stream[:third]), None, b"".join(tables + stream[third + 40 :])]
    )
    got = numbers(items)
    assert stats.runs == 2
    assert got == sorted(got)
    missing = sorted(set(range(60)) - set(got))
    # One picture before the gap may be there whose neighbours, coded after it, are not.
    assert missing[-1] - missing[0] - len(missing) <= 1
    assert 0 < len(missing) <= 32
    # Clean, that is: each shows its own number at its own time.
    frames = [item for item in items if isinstance(item, VideoFrame)]
    first = frames[0].pts
    assert [(frame.pts - first) // STEP for frame in frames] == got

    units, stats = await read(
        [b"".join(stream[:third]), None, b"".join(tables + stream[third + 40 :])], ()
    )
    video = [u for u in units if isinstance(u, AccessUnit) and u.kind == "video"]
    assert 0 < stats.waiting < 60 - len(video)
    at = next(i for i in range(1, len(video)) if video[i].dts - video[i - 1].dts > STEP)
    assert video[at].key


async def test_a_stream_is_joined_in_the_middle_of_a_group():
    units = coded_pictures(range(60))[10:]
    items, stats = await read(pieces(units, {"video": "h264"}))
    assert numbers(items) == list(range(25, 60))
    items, stats = await read(pieces(units, {"video": "h264"}), ())
    assert items[1].pts == 25 * STEP
    assert stats.waiting == 15


async def test_a_stream_without_key_frames_is_shown_after_a_while():
    units = [u for u in coded_pictures(range(200)) if not u.key]
    items, stats = await read(pieces(units, {"video": "h264"}), ())
    assert items[1].pts == 5 * 90_000 + STEP
    assert len(items) - 1 == len(units) - stats.waiting > 40
    # And decoded, when the parameters at least are known.
    first = units[0]
    parameters = AccessUnit("video", coded_pictures([0])[0].data, first.pts, first.dts, True)
    assert parameters.key
    items, _ = await read(
        [*pieces([parameters], {"video": "h264"}), None, *pieces(units, {"video": "h264"})]
    )
    shown = [item for item in items if isinstance(item, VideoFrame)]
    assert len(shown) > 40
    assert shown[-1].pts == units[-1].pts


async def test_a_stream_that_refreshes_piecewise_recovers_without_a_key_frame():
    video = Video(
        frames=120,
        options={"g": "30", "tune": "zerolatency", "x264-params": "intra-refresh=1:keyint=30"},
    )
    stream = packets(transport_stream(video, None))
    half = len(stream) // 3
    items, _ = await read([b"".join(stream[: half - 20]), None, b"".join(stream[half:])])
    got = numbers(items)
    assert got[-1] == 119
    assert None not in got
    assert len(got) > 60


async def test_packets_that_are_lost_on_the_way_are_counted_and_survived():
    stream = packets(transport_stream(CODECS["h264, no reordering"], Sound(end_s=2.4)))
    kept = [packet for at, packet in enumerate(stream) if at % 97 != 50]
    items, stats = await read([b"".join(kept)])
    assert stats.lost >= len(stream) // 97 - 2
    assert len(numbers(items)) > 40
    assert sum(isinstance(item, AudioFrame) for item in items) > 80


async def test_packets_sent_twice_are_read_once():
    stream = packets(transport_stream(CODECS["h264"], Sound()))
    once, _ = await read([b"".join(stream)], ())
    twice, stats = await read([b"".join(packet * 2 for packet in stream)], ())
    assert twice == once
    assert stats.lost == 0


async def test_bytes_between_packets_are_passed_over():
    stream = packets(transport_stream(CODECS["h264, no reordering"], None))
    clean, _ = await read([b"".join(stream)], ())
    noise = random.Random(3)
    dirty = b"".join(
        noise.randbytes(noise.randrange(1, 400)) + packet if at % 50 == 25 else packet
        for at, packet in enumerate(stream)
    )
    items, stats = await read([b"\x47" + dirty], (), chunk=700)
    # A sync byte in the noise may cost a packet, and with it a unit.
    assert len(items) >= len(clean) - 2
    assert stats.unreadable == []


@pytest.mark.parametrize("seed", range(4))
async def test_damaged_bytes_end_nothing(seed):
    noise = random.Random(seed)
    stream = bytearray(transport_stream(CODECS["h264"], Sound(end_s=2.4)))
    for _ in range(len(stream) // 2000):
        stream[noise.randrange(len(stream) * 3 // 4)] ^= 1 << noise.randrange(8)
    tail = transport_stream(Video(frames=30), Sound(end_s=1.2))
    for decode in ((), ("video", "audio")):
        items, _ = await read([bytes(stream), None, tail], decode)
        assert len(items) > 60
    assert numbers(items)[-25:] == list(range(5, 30))


async def test_what_is_no_stream_is_told_and_passed_over():
    stream = transport_stream(Video(frames=10), None)
    secret = bytearray(stream)
    for at in range(0, len(secret), 188):
        if int.from_bytes(secret[at + 1 : at + 3], "big") & 0x1FFF == 0x100:
            secret[at + 3] |= 0x80
    items, stats = await read(
        [random.Random(1).randbytes(100_000), None, bytes(secret), None, stream]
    )
    assert numbers(items) == list(range(10))
    assert stats.runs == 3
    assert any("encrypted" in reason for reason in stats.unreadable)


async def test_packets_with_time_stamps_are_named():
    stream = packets(transport_stream(Video(frames=30), Sound(end_s=1.2)))
    stamped = b"".join(number.to_bytes(4, "big") + packet for number, packet in enumerate(stream))
    items, stats = await read([stamped, None, b"".join(stream)], chunk=1000)
    assert numbers(items) == list(range(30))
    assert ["192 bytes" in reason and ".m2ts" in reason for reason in stats.unreadable] == [True]


async def test_a_chunk_is_read_in_time_that_grows_with_its_size():
    chunk = random.Random(4).randbytes(48 * 1024 * 1024)
    pipe, parts = BytePipe(), list[bytes]()
    await pipe.write(chunk)
    pipe.close()
    began = time.thread_time()
    while part := pipe.read(4096):
        parts.append(part)
    # 0.05 s; to move the rest of the chunk at each read takes more than a minute.
    assert time.thread_time() - began < 5
    assert b"".join(parts) == chunk
    assert not pipe.next_run()


async def test_what_is_left_of_a_chunk_counts_and_is_given_up_with_the_rest():
    pipe = BytePipe(limit_bytes=10)
    await pipe.write(b"0123456789")
    assert pipe.read(4) == b"0123"
    await asyncio.wait_for(pipe.write(b"abcd"), 5)
    assert [pipe.read(100), pipe.read(3), pipe.read(3)] == [b"456789", b"abc", b"d"]
    await pipe.write(b"0123456789")
    assert pipe.read(9) == b"012345678"
    pipe.abort()
    assert pipe.read(1) == b""


async def test_several_pictures_in_one_packet_are_told_apart():
    units = coded_pictures(range(40))
    pairs = [
        AccessUnit("video", DELIMITER + a.data + DELIMITER + b.data, a.pts, a.dts, a.key)
        for a, b in zip(units[::2], units[1::2], strict=True)
    ]
    items, _ = await read(pieces(pairs, {"video": "h264"}))
    assert numbers(items) == list(range(40))
    frames = [item for item in items if isinstance(item, VideoFrame)]
    assert [frame.pts for frame in frames[2:]] == [n * STEP for n in range(2, 40)]


@pytest.mark.parametrize(
    ("codec", "video", "sound"),
    [
        ("h264", CODECS["h264"], None),
        ("hevc", CODECS["hevc"], None),
        ("mpeg2video", CODECS["mpeg2"], None),
        ("mp3", None, Sound(codec="mp2")),
        ("ac3", None, Sound(codec="ac3")),
        ("aac", None, Sound()),
    ],
)
async def test_packets_that_begin_anywhere_are_put_together(codec, video, sound):
    """Each packet has the time of the first unit that begins in it, as the standard says."""
    whole, _ = await read([transport_stream(video, sound)], ())
    units = [item for item in whole if isinstance(item, AccessUnit)]
    kind = units[0].kind
    body = units[0].data[:9]
    cut: list[AccessUnit] = []
    for unit, following in zip(units, [*units[1:], None], strict=True):
        body = unit.data[9:] + (following.data[:9] if following else b"")
        cut.append(AccessUnit(kind, body, unit.pts, unit.dts, False))
    first = cut[0]
    cut[0] = AccessUnit(kind, units[0].data[:9] + first.data, first.pts, first.dts, True)
    # A packet has the time of what begins in it, and that is at its end.
    stamps = [units[0], *units[2:], units[-1]]
    cut = [
        AccessUnit(kind, piece.data, stamp.pts, stamp.dts, False)
        for piece, stamp in zip(cut, stamps, strict=False)
    ]
    # `hevc` as the codec keeps the muxer from putting delimiters where the packets begin.
    items, _ = await read([*_as(codec, cut, kind)])
    frames = [item for item in items if isinstance(item, (VideoFrame, AudioFrame))]
    # What the first packet had of the second unit is lost.
    assert len(frames) >= len(units) - 3
    if kind == "video":
        got = numbers(items)
        assert got[-40:] == list(range(20, 60))
        assert [frame.pts - frames[-1].pts for frame in frames[-40:]] == [
            (n - 59) * STEP for n in range(20, 60)
        ]
    else:
        late = [unit.pts for unit in units][-40:]
        assert [frame.pts for frame in frames[-40:]] == pytest.approx(late, abs=2)


def _as(codec, units, kind):
    """The pieces of a stream, with nothing added to any unit."""
    carried = pieces(units, {kind: "hevc" if kind == "video" else codec})
    if codec in ("h264", "mpeg2video"):
        tables = pieces(units[:1], {kind: codec})[0][:376]
        carried[0] = tables + carried[0][376:]
    return carried


async def test_a_sender_that_pads_within_pictures_is_not_believed():
    """Padding ends a picture for most senders; for this one it does not, and none is broken."""
    units = coded_pictures(range(40))
    out: list[bytes] = []
    for piece, _unit in zip(pieces(units, {"video": "h264"}), units, strict=True):
        out.append(_without_length(piece))
    items, stats = await read([_padded_within(piece) for piece in out])
    assert numbers(items) == list(range(40))
    assert stats.corrupt == 0


def _without_length(piece: bytes) -> bytes:
    found = bytearray(piece)
    at = found.find(b"\x00\x00\x01\xe0")
    found[at + 4 : at + 6] = b"\x00\x00"
    return bytes(found)


_counters: dict[int, int] = {}


def _padded_within(piece: bytes) -> bytes:
    """The same packets, with the second half of each picture's packets in two padded halves."""
    counter, out = 0, b""
    for packet in packets(piece):
        pid = int.from_bytes(packet[1:3], "big") & 0x1FFF
        counter = _counters.get(pid, 0)
        plain = pid == 0x100 and not packet[1] & 0x40 and not packet[3] & 0x20
        parts = [packet]
        if plain:
            halves = packet[4:96], packet[96:188]
            parts = [packet[:3] + b"\x30" + bytes([91, 0]) + b"\xff" * 90 + half for half in halves]
        for part in parts:
            out += part[:3] + bytes([part[3] & 0xF0 | counter]) + part[4:]
            counter = counter + 1 & 0xF
        _counters[pid] = counter
    return out


async def test_sound_and_pictures_interleave_as_the_sender_has_them():
    units = by_time(coded_pictures(range(50)), coded_sound(0, 2))
    items, _ = await read(pieces(units, {"video": "h264", "audio": "aac"}), ())
    assert [item.kind for item in items[1:]] == [unit.kind for unit in units]
