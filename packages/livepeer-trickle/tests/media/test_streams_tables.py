"""The tables of a stream: long ones, damaged ones, and those of programs that are not read."""

from __future__ import annotations

from livepeer.trickle.media import Segmenter
from livepeer.trickle.media._demuxer import Program, TSDemuxer
from livepeer.trickle.media._psi import crc32, pat, pmt, section

from .streams import coded_pictures, coded_sound

PMT_PID = 0x1000
H264, AAC, PRIVATE = 0x1B, 0x0F, 0x06


def packed(pid: int, whole: bytes, counter: int = 0, size: int = 183) -> bytes:
    """A section in as many packets as it takes, `size` bytes of it in each."""
    out, parts = b"", [whole[at : at + size] for at in range(0, len(whole), size)]
    for number, part in enumerate(parts):
        body, flags = (b"" if number else b"\x00") + part, 0x10
        room = 184 - len(body)
        if number == len(parts) - 1:
            body += b"\xff" * room
        elif room:
            body, flags = bytes([room - 1, 0])[:room] + b"\xff" * (room - 2) + body, 0x30
        head = 0x47000000 | (not number) << 22 | pid << 8 | flags | counter + number & 0xF
        out += head.to_bytes(4, "big") + body
    return out


def streams_of(*tables: bytes) -> list[list[tuple[int, str, str]]]:
    demuxer = TSDemuxer()
    events = [event for table in tables for event in demuxer.feed(table)]
    return [[tuple(s) for s in event.streams] for event in events if isinstance(event, Program)]


def test_a_table_of_several_packets_is_put_together():
    many = {0x200 + n: PRIVATE for n in range(80)} | {0x100: H264, 0x101: AAC}
    for size in (183, 100, 50):
        found = streams_of(packed(0, pat(PMT_PID)), packed(PMT_PID, pmt(0x100, many), size=size))
        assert found == [[(0x100, "video", "h264"), (0x101, "audio", "aac")]]


def test_a_damaged_table_changes_nothing():
    sound = packed(PMT_PID, pmt(0x100, {0x100: H264}))
    for at in range(17, 25):
        damaged = bytearray(packed(PMT_PID, pmt(0x100, {0x100: H264, 0x101: AAC}, version=1)))
        damaged[at] ^= 0x10
        assert len(streams_of(packed(0, pat(PMT_PID)), sound, bytes(damaged))) == 1


def test_a_table_that_is_not_in_force_yet_changes_nothing():
    later = bytearray(pmt(0x100, {0x100: H264, 0x101: AAC}, version=1))[:-4]
    later[5] &= 0xFE
    whole = bytes(later) + crc32(bytes(later)).to_bytes(4, "big")
    now = packed(PMT_PID, pmt(0x100, {0x100: H264}))
    assert len(streams_of(packed(0, pat(PMT_PID)), now, packed(PMT_PID, whole))) == 1


def test_of_several_programs_the_first_is_read():
    both = section(0x00, 1, bytes([0, 0, 0xE0, 0x10, 0, 1, 0xF0, 0x00, 0, 2, 0xE2, 0x00]))
    found = streams_of(
        packed(0, both),
        packed(0x200, pmt(0x300, {0x300: 0x24})),
        packed(PMT_PID, pmt(0x100, {0x100: H264, 0x110: AAC, 0x111: AAC})),
    )
    assert found == [[(0x100, "video", "h264"), (0x110, "audio", "aac")]]


def test_a_track_that_is_read_stays_when_others_come_before_it():
    tables = [
        packed(0, pat(PMT_PID)),
        packed(PMT_PID, pmt(0x100, {0x100: H264, 0x111: AAC})),
        packed(PMT_PID, pmt(0x100, {0x100: H264, 0x110: AAC, 0x111: AAC}, version=1), 1),
        packed(PMT_PID, pmt(0x100, {0x100: H264, 0x110: AAC}, version=2), 2),
    ]
    kept = [(0x100, "video", "h264"), (0x111, "audio", "aac")]
    assert streams_of(*tables[:3]) == [kept]
    assert streams_of(*tables) == [kept, [kept[0], (0x110, "audio", "aac")]]


def test_a_program_that_moves_to_another_pid_is_followed():
    segmenter = Segmenter({"video": "h264", "audio": "aac"})
    units = coded_pictures(range(3)) + coded_sound(0, 0.1)
    stream = b"".join(segmenter.add(unit).data for unit in units)
    moved = packed(0, pat(0x123)) + packed(0x123, pmt(0x100, {0x100: H264}))
    assert streams_of(stream, moved) == [
        [(0x100, "video", "h264"), (0x101, "audio", "aac")],
        [(0x100, "video", "h264")],
    ]
