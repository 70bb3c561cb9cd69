"""One caller: a connection that sends the same request again and again and reads the answers.

Written on bare sockets, for the callers must cost less than the server that they ask.
"""

from __future__ import annotations

import socket
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .wire import Request

CHUNK = 256 * 1024
CONNECT_S = 10.0
STALLED_S = 15.0
LAST_CHUNK = b"\r\n0\r\n\r\n"


class Broken(Exception):
    """The connection ended before the answer did."""


class Caller:
    """One connection.

    Attributes:
        status: Of the last answer.
        begun: When the last request was sent.
        first: When the first item of the last answer came, or its first byte; 0 before.
        items: How many items the last answer has so far.
        body: What the last answer held, where that is kept.
        waits: Whether an answer is to come.
        chunked: Whether the last answer came in chunks.
        closed: Whether the server has ended the connection, as the end of its answer.
    """

    status: int
    begun: float
    first: float
    items: int
    body: bytes
    waits: bool
    chunked: bool
    closed: bool
    _left: memoryview
    _head: bytes
    _rest: bytes
    _tail: bytes
    _need: int
    _until_close: bool

    def __init__(self, port: int, request: Request, *, keep: bool = False) -> None:
        self._port = port
        self._raw = request.raw
        self._mark = request.mark
        self._keep = keep
        self._connect()
        self._reset()

    def fileno(self) -> int:
        """The connection, for epoll."""
        return self._socket.fileno()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def reconnect(self) -> None:
        """Another connection in the place of this one."""
        self._socket.close()
        self._connect()

    def send(self) -> bool:
        """Send the request; False when a part of it has to wait until it can be written.

        Raises:
            Broken: The connection is no more.
        """
        self._reset()
        self.waits = True
        self.begun = perf_counter()
        return self.write()

    def write(self) -> bool:
        """Send the rest; False as for `send`."""
        try:
            while self._left:
                self._left = self._left[self._socket.send(self._left) :]
        except BlockingIOError:
            return False
        except OSError as error:
            raise Broken(str(error)) from None
        return True

    def read(self) -> bool:
        """Take what came; True when the answer is complete.

        Raises:
            Broken: There is nothing more, and should be.
        """
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            return False
        except OSError as error:
            raise Broken(str(error)) from None
        if not data:
            if not self._until_close:
                raise Broken("closed")
            self.waits, self.closed = False, True
            return True
        if not self.status:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return False
            data = self._head[end + 4 :]
            self._read_head(self._head[:end].lower())
        self.waits = not self._take(data)
        return not self.waits

    def _read_head(self, head: bytes) -> None:
        self.status = int(head[9:12])
        self._need, self._until_close = -1, True
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name == b"content-length":
                self._need, self._until_close = int(value), False
            elif name == b"transfer-encoding" and b"chunked" in value:
                self.chunked, self._until_close = True, False
        self._tail = b"\r\n"

    def _take(self, data: bytes) -> bool:
        if self._keep:
            self.body += data
        if self._mark:
            # An item may lie on the border of two reads.
            seen = self._rest + data
            self.items += seen.count(self._mark)
            self._rest = seen[-(len(self._mark) - 1) :]
        if data and not self.first and (self.items or not self._mark):
            self.first = perf_counter()
        if self.chunked:
            self._tail = (self._tail + data)[-len(LAST_CHUNK) :]
            return self._tail == LAST_CHUNK
        self._need -= len(data)
        return self._need == 0

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), CONNECT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)

    def _reset(self) -> None:
        self.status = self.items = 0
        self.first = self.begun = 0.0
        self.body = b""
        self._left = memoryview(self._raw)
        self._head = self._rest = self._tail = b""
        self._need = -1
        self.chunked = self._until_close = False
        self.waits = self.closed = False


def unchunked(body: bytes) -> bytes:
    """The content of a chunked body."""
    content = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        content, body = content + body[:length], body[length + 2 :]
        if not length:
            break
    return content
