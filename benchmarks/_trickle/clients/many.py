"""Many cheap readers, so that the server is the one who works: no library, nothing taken apart."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from _trickle.load import Load

END = b"0\r\n\r\n"
_SCRATCH = memoryview(bytearray(256 * 1024))


class Reader(asyncio.BufferedProtocol):
    """Gets segment after segment over one connection; what the body holds must not end in END."""

    def __init__(self, load: Load, number: int) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self._load = load
        self._number = number
        self._seq = 0
        self._size = 0
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Kept for when the word is given."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Too early is a failure."""
        if not self.over.done():
            self.over.set_exception(exc or ConnectionError("the server hung up"))

    def begin(self) -> None:
        """Ask for the next segment."""
        assert self.transport is not None
        address = urlsplit(f"{self._load.url}/{self._seq}")
        request = f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n"
        self._size, self._tail = 0, b""
        self.transport.write(request.encode())

    def get_buffer(self, sizehint: int) -> memoryview:
        """Everybody reads to the same place: nobody looks at it."""
        del sizehint
        return _SCRATCH

    def buffer_updated(self, nbytes: int) -> None:
        """Look at the status, and at the end of what came."""
        if not self._size and bytes(_SCRATCH[9:12]) != b"200":
            status = bytes(_SCRATCH[:12])
            self.over.set_exception(ConnectionError(f"segment {self._seq}: {status!r}"))
            return
        self._size += nbytes
        self._tail = (self._tail + bytes(_SCRATCH[max(0, nbytes - len(END)) : nbytes]))[-len(END) :]
        if self._tail == END:
            self._finish()

    def _finish(self) -> None:
        plan = self._load.plan
        if self._size < plan.pieces * plan.piece_bytes:
            self.over.set_exception(ConnectionError(f"segment {self._seq} is not whole"))
            return
        self._seq += 1
        self._load.done(self._seq, self._number)
        if self._seq < plan.segments:
            self.begin()
        else:
            self.over.set_result(None)


async def subscribe(load: Load) -> None:
    """Read all segments, with as many readers as the run has."""
    loop = asyncio.get_running_loop()
    address = urlsplit(load.url)
    assert address.hostname is not None
    assert address.port is not None
    readers: list[Reader] = []
    for number in range(load.readers):
        connecting = partial(Reader, load, number)
        _, reader = await loop.create_connection(connecting, address.hostname, address.port)
        readers.append(reader)
    async with load.measured():
        for reader in readers:
            reader.begin()
        await asyncio.gather(*(reader.over for reader in readers))
        load.received = load.plan.total_bytes
    for reader in readers:
        assert reader.transport is not None
        reader.transport.close()
