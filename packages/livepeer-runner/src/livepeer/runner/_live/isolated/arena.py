"""Memory that two processes share: slots that one of them fills, and leases on what lies there."""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
import tempfile
import threading
from typing import Final

SLOT_BYTES: Final = 64 * 1024 * 1024
"""Room for one frame: 8K in 4:2:0, or 4K in RGBA. Only what frames touch takes up memory."""

_PAGE: Final = 64 * 1024  # a multiple of the page on every machine
_WRITER, _READER = 0, 1
_getpid: Final = os.getpid


class Lease:
    """A hold on a slot by one of the two processes; it ends with the object.

    Attributes:
        index: Which slot.
        memory: Its bytes, which are nobody else's while the lease is held.
    """

    __slots__ = ("_flag", "_holder", "index", "memory")

    def __init__(self, index: int, memory: memoryview, flag: memoryview) -> None:
        self.index = index
        self.memory = memory
        self._flag = flag
        self._holder = _getpid()
        flag[0] = 1

    def __del__(self) -> None:
        # A fork of the holder has a copy of this object, and no hold.
        if self._holder == _getpid():
            self._flag[0] = 0


class Arena:
    """One direction of shared memory: one process fills slots and the other reads them.

    Each slot has two flags, one for each process, which it alone clears; the writer takes a slot
    that nobody holds. So letting go is the store of a byte, which may happen in a destructor, in
    any thread and at any moment, and no message is needed that could be lost with its sender.

    The memory has no name: it is gone with the last process that has it, however that ended.

    Args:
        fd: What `create` returned, here or in the other process; the arena does not own it.
        slots: How many frames may be under way.
    """

    def __init__(self, fd: int, slots: int) -> None:
        self.slots = slots
        self._begin = _flags_size(slots)
        # Whoever made a picture over it may outlive this object: it is unmapped with the last.
        self._memory = memoryview(mmap.mmap(fd, _size(slots)))
        self._lock = threading.Lock()

    @staticmethod
    def create(slots: int) -> int:
        """Make memory for two arenas, one in each process, and return its file descriptor."""
        if sys.platform == "linux":
            fd = os.memfd_create("livepeer frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(fd, _size(slots))
            # Or a process that truncates it would end the other by SIGBUS.
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        else:
            fd, path = tempfile.mkstemp()
            os.unlink(path)
            os.ftruncate(fd, _size(slots))
        return fd

    @property
    def held(self) -> int:
        """How many slots the reader holds."""
        return self._memory[_READER : 2 * self.slots : 2].tobytes().count(1)

    def take(self) -> Lease | None:
        """The writer: a free slot, held by both; None when there is none. Any thread."""
        with self._lock:
            memory = self._memory
            for index in range(self.slots):
                mine, theirs = 2 * index + _WRITER, 2 * index + _READER
                if not memory[mine] and not memory[theirs]:
                    memory[theirs] = 1
                    return self._lease(memory, index, mine)
        return None

    def give_up(self, index: int) -> None:
        """The writer: the reader was never told of this slot."""
        self._memory[2 * index + _READER] = 0

    def adopt(self, index: int) -> Lease:
        """The reader: the hold that the writer took on its behalf.

        Raises:
            IndexError: There is no such slot.
        """
        if not 0 <= index < self.slots:
            raise IndexError(f"slot {index} of {self.slots}")
        return self._lease(self._memory, index, 2 * index + _READER)

    def close(self) -> None:
        """Let go of the memory, whoever holds this object: it goes with the last lease."""
        with self._lock:
            self._memory = memoryview(bytearray(b"\1" * 2 * self.slots))  # no slot is free

    def _lease(self, memory: memoryview, index: int, flag: int) -> Lease:
        begin = self._begin + index * SLOT_BYTES
        return Lease(index, memory[begin : begin + SLOT_BYTES], memory[flag : flag + 1])


def _flags_size(slots: int) -> int:
    return -(-2 * slots // _PAGE) * _PAGE


def _size(slots: int) -> int:
    # One page more: codecs may read a little beyond the end of a picture.
    return _flags_size(slots) + slots * SLOT_BYTES + _PAGE
