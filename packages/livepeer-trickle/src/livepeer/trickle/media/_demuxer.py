"""An MPEG-TS demuxer for the first program of a stream. Pure.

libavformat has one, and through PyAV it cannot be used for a stream that is alive: a stream that a
later table adds is read out of the bounds of an array, and an access unit whose PES packet has no
length is held back until the next one begins, by which every picture is a frame late. Here the
tables may change at any time, nothing is probed, and the end of a PES packet is known where its
sender shows it. (ISO/IEC 13818-1.)
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final

from ._pes import PES, Assembly
from ._psi import PAT_PID, Elementary, SectionBuffer, elementaries, pmt_pid
from .clock import Unwrapper, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKET_BYTES: Final = 188
_SYNC: Final = b"\x47"
_STAMPED_BYTES: Final = 4 + PACKET_BYTES
_STAMPED: Final = 5
_PACKET: Final = Struct(">I184s")
_PLAIN: Final = 0xFFFFFFF0


@dataclass(frozen=True, slots=True)
class Program:
    """What the program holds from here on: the first video and the first audio stream of it."""

    streams: tuple[Elementary, ...]


Event = Program | PES


class TSDemuxer:
    """Takes bytes as they come, and gives each PES packet as soon as it is whole.

    Attributes:
        skipped: How many bytes were passed over in search of packets.
        packets: How many packets were read.
        lost: How many times packets were missing, by their counters, or damaged on the way.
        scrambled: How many packets could not be read for being encrypted.
        stamped: These are packets with a time stamp of four bytes before each; all is passed over
            until this is set back.
    """

    def __init__(self) -> None:
        self.skipped = self.packets = self.lost = self.scrambled = 0
        self.stamped = False
        self._rest = b""
        self._pmt_pid: int | None = None
        self._sections: dict[int, SectionBuffer] = {PAT_PID: SectionBuffer()}
        self._tables: dict[int, bytes] = {}
        self._assemblies: dict[int, Assembly] = {}
        # By the header of a packet that has nothing but payload, less its counter.
        self._plain: dict[int, Assembly] = {}
        self._clock = Unwrapper()

    def feed(self, data: bytes) -> list[Event]:
        """What is whole with these bytes."""
        events: list[Event] = []
        for run in self._aligned(data):
            self._read(run, events)
        return events

    def gap(self) -> list[Event]:
        """Bytes are missing from here on: what was whole without being known to be.

        The tables stay in force; a packet of which the end is missing is given up.
        """
        self._rest = b""
        events: list[Event] = []
        for assembly in self._assemblies.values():
            pes = assembly.abandon()
            if pes is not None:
                events.append(self._timed(pes))
        return events

    def _aligned(self, data: bytes) -> Iterator[bytes]:
        """Stretches of whole packets, each with its sync byte where it belongs."""
        if self._rest:
            data = self._rest + data
        self.stamped = self.stamped or _is_stamped(data)
        while len(data) >= PACKET_BYTES and not self.stamped:
            whole = len(data) - len(data) % PACKET_BYTES
            marks = data[:whole:PACKET_BYTES]
            good = (len(marks) - len(marks.lstrip(_SYNC))) * PACKET_BYTES
            if good:
                yield data if good == len(data) else data[:good]
                data = data[good:]
            if good < whole:
                at = _find_packet(data)
                self.skipped += at
                data = data[at:]
        self._rest = b"" if self.stamped else data

    def _read(self, run: bytes, events: list[Event]) -> None:
        plain = self._plain
        self.packets += len(run) // PACKET_BYTES
        for header, payload in _PACKET.iter_unpack(run):
            assembly = plain.get(header & _PLAIN)
            # Most packets are of this kind: they go on with a PES packet that is under way.
            if assembly is not None and assembly.room > 0 and header & 0xF == assembly.counter:
                assembly.counter = header + 1 & 0xF
                assembly.chunks.append(payload)
                assembly.room -= 184
                if assembly.room <= 0:
                    self._give(assembly.finish(), events)
            else:
                self._packet(header, payload, events)
                plain = self._plain

    def _packet(self, header: int, payload: bytes, events: list[Event]) -> None:
        pid = header >> 8 & 0x1FFF
        assembly, sections = self._assemblies.get(pid), self._sections.get(pid)
        if assembly is None and sections is None:
            return
        if header & 0x80_0000:  # damaged on the way, as whoever received it says
            self.lost += 1
            return
        if header & 0xC0:
            self.scrambled += 1
            return
        if assembly is not None:
            self.lost += assembly.add(header, payload)
            while assembly.ready:
                self._give(assembly.ready.pop(0), events)
        elif sections is not None and header & 0x10:
            self._section(pid, sections, header, payload, events)

    def _give(self, pes: PES | None, events: list[Event]) -> None:
        if pes is not None:
            events.append(self._timed(pes))

    def _timed(self, pes: PES) -> PES:
        """The packet in a clock without wrap: that of decoding, as it is the one that rises."""
        if pes.pts is not None and pes.dts is not None:
            pes.dts = self._clock.unwrap(pes.dts)
            pes.pts = nearest(pes.pts, pes.dts)
        return pes

    def _section(
        self, pid: int, sections: SectionBuffer, header: int, payload: bytes, events: list[Event]
    ) -> None:
        if header & 0x20:
            payload = payload[1 + payload[0] :]
        starts = bool(header & 0x40_0000)
        # The same table comes again and again.
        if starts and self._tables.get(pid) == payload:
            return
        for whole in sections.add(payload, starts=starts):
            if pid == PAT_PID:
                self._select(pmt_pid(whole))
            else:
                streams = elementaries(whole)
                if streams is not None:
                    self._hold(_chosen(streams, self._assemblies), events)
        self._tables[pid] = payload

    def _select(self, pid: int | None) -> None:
        if pid is not None and pid != self._pmt_pid:
            self._pmt_pid = pid
            self._sections = {PAT_PID: self._sections[PAT_PID], pid: SectionBuffer()}
            self._tables.clear()

    def _hold(self, streams: tuple[Elementary, ...], events: list[Event]) -> None:
        """Go over to the streams of a new table; those that stay are not disturbed."""
        before = {pid: assembly.stream for pid, assembly in self._assemblies.items()}
        after = {stream.pid: stream for stream in streams}
        if after == before:
            return
        for pid in before.keys() - {s.pid for s in streams if before.get(s.pid) == s}:
            self._give(self._assemblies.pop(pid).abandon(), events)
        for pid, stream in after.items():
            self._assemblies.setdefault(pid, Assembly(stream))
        self._plain = {
            0x47000010 | pid << 8: assembly for pid, assembly in self._assemblies.items()
        }
        events.append(Program(streams))


def _chosen(streams: list[Elementary], held: dict[int, Assembly]) -> tuple[Elementary, ...]:
    """One stream of each kind: what is read already, else the first."""
    chosen: dict[str, Elementary] = {}
    for stream in sorted(streams, key=lambda stream: stream.pid not in held):
        chosen.setdefault(stream.kind, stream)
    return tuple(sorted(chosen.values(), key=lambda stream: stream.kind, reverse=True))


def _find_packet(data: bytes) -> int:
    """Where the next packet seems to begin: a sync byte, and another where one should follow."""
    at = data.find(_SYNC, 1)
    while at >= 0:
        following = data[at : at + 3 * PACKET_BYTES : PACKET_BYTES]
        if not following.strip(_SYNC):
            return at
        at = data.find(_SYNC, at + 1)
    return len(data)


def _is_stamped(data: bytes) -> bool:
    """Whether these are packets as in an .m2ts file, from the beginning of one."""
    if data[:1] == _SYNC:
        return False
    return data[4 : _STAMPED * _STAMPED_BYTES : _STAMPED_BYTES] == _SYNC * _STAMPED
