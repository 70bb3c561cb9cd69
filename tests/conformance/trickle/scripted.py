"""A server that follows a script and keeps what reached it: for clients under test."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Self

from .wire import LIMIT_S

_REQUEST_BYTES = 64 * 1024


class Exchange:
    """One request that arrived, and the answer that the script gives.

    Attributes:
        method: The request's method.
        path: Its path.
        headers: Its headers, the names in lower case.
        connection: Which of the server's connections it came on, from 0.
        at: When its headers were here, in seconds of the monotonic clock.
        body: What came of its body so far.
        whole: The body came to its proper end.
    """

    def __init__(
        self, head: bytes, connection: int, reader: asyncio.StreamReader, out: asyncio.StreamWriter
    ) -> None:
        request_line, *lines = head.decode().removesuffix("\r\n\r\n").split("\r\n")
        self.method, self.path, _ = request_line.split(" ")
        split = (line.partition(":") for line in lines)
        self.headers = {name.lower(): value.strip() for name, _, value in split}
        self.connection = connection
        self.at = time.monotonic()
        self.body = b""
        self.whole = False
        self._reader = reader
        self._out = out

    @property
    def seq(self) -> int:
        """The segment that it is about."""
        return int(self.path.rpartition("/")[2])

    async def chunk(self) -> bytes:
        """The next part of the body; b"" at its end."""
        if self.headers.get("transfer-encoding") != "chunked":
            left = int(self.headers.get("content-length", "0")) - len(self.body)
            part = await self._reader.readexactly(left) if left else b""
        else:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            part = (await self._reader.readexactly(size + 2))[:-2]
        self.body += part
        self.whole = not part
        return part

    async def read(self) -> bytes:
        """The whole body."""
        while await self.chunk():
            pass
        return self.body

    async def interim(self) -> None:
        """Say that we wait."""
        await self._send(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def answer(
        self, status: int = 200, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        """A whole answer."""
        await self._begin(status, {**(headers or {}), "Content-Length": str(len(body))})
        if self.method != "HEAD":
            await self._send(body)

    async def segment(self, seq: int, *parts: bytes, end: bool = True) -> None:
        """A segment; without `end` more may follow, by `more`."""
        await self._begin(200, {"Lp-Trickle-Seq": str(seq), "Transfer-Encoding": "chunked"})
        for part in parts:
            await self.more(part)
        if end:
            await self.end()

    async def more(self, part: bytes) -> None:
        """A part of a segment that has begun."""
        await self._send(b"%x\r\n%s\r\n" % (len(part), part))

    async def end(self) -> None:
        """The end of a segment that has begun."""
        await self._send(b"0\r\n\r\n")

    def cut(self) -> None:
        """End the connection, whatever was said."""
        self._out.transport.abort()

    async def gone(self) -> None:
        """Wait until the client ends the connection."""
        assert await self._reader.read(1) == b""

    async def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} Scripted", *(f"{n}: {v}" for n, v in headers.items())]
        await self._send("\r\n".join([*lines, "", ""]).encode())

    async def _send(self, data: bytes) -> None:
        self._out.write(data)
        await self._out.drain()


Play = Callable[[Exchange], Awaitable[None]]


class ScriptedServer:
    """Plays `play` for each request. A context manager.

    Args:
        play: Answers one request; when it returns the connection goes on, when it fails by a
            connection that the client ended, the connection is over.
        receive_bytes: How much the system takes in for us unread; its own choice by default.

    Attributes:
        seen: All requests, in the order in which their headers arrived.
        url: A channel's URL.
    """

    def __init__(self, play: Play, *, receive_bytes: int | None = None) -> None:
        self.seen: list[Exchange] = []
        self.url = ""
        self._play = play
        self._receive_bytes = receive_bytes
        self._connections: set[asyncio.Task[None]] = set()
        self._accepted = 0
        self._arrived = asyncio.Condition()
        self._failure: BaseException | None = None

    async def saw(self, method: str, seq: int | str | None = None, *, times: int = 1) -> Exchange:
        """Wait for a request of that method and segment, and give the last of so many."""

        def matching() -> list[Exchange]:
            return self.requests(method, seq)

        async with asyncio.timeout(LIMIT_S), self._arrived:
            await self._arrived.wait_for(lambda: len(matching()) >= times)
        return matching()[times - 1]

    def requests(self, method: str, seq: int | str | None = None) -> list[Exchange]:
        """The requests so far of that method, of one segment or of all."""
        path = None if seq is None else f"/c/{seq}"
        return [e for e in self.seen if e.method == method and path in (None, e.path)]

    def seqs(self, method: str) -> list[str]:
        """The last part of each path that was requested by that method, in order."""
        return [e.path.rpartition("/")[2] for e in self.requests(method)]

    async def __aenter__(self) -> Self:
        listening = socket.create_server(("127.0.0.1", 0))
        if self._receive_bytes is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_bytes)
        self._server = await asyncio.start_server(
            self._accept, sock=listening, limit=_REQUEST_BYTES
        )
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}/c"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in tuple(self._connections):
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections)
        if self._failure is not None:
            raise self._failure

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer, self._accepted))
        self._accepted += 1
        self._connections.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                exchange = Exchange(head, number, reader, writer)
                async with self._arrived:
                    self.seen.append(exchange)
                    self._arrived.notify_all()
                await self._play(exchange)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.transport.abort()


async def take(exchange: Exchange) -> None:
    """A server to which all is well."""
    if exchange.method == "POST":
        await exchange.read()
    await exchange.answer(headers={"Lp-Trickle-Seq": exchange.path.rpartition("/")[2]})


async def never() -> None:
    """What comes no more."""
    await asyncio.Event().wait()


def not_held(latest: int, seq: int) -> Mapping[str, str]:
    """What stands in a 470: the edge, and what was asked for."""
    return {"Lp-Trickle-Latest": str(latest), "Lp-Trickle-Seq": str(seq)}
