"""HTTP/1.1 on bare sockets: exact spellings, framing and timing, which a client library hides."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMIT_S = 15.0
"""For whatever must happen; only a fault lets it pass."""

_BUFFER_BYTES = 1024 * 1024


class Cut(ConnectionError):
    """The connection ended in the middle of an answer."""


@dataclass(frozen=True)
class Head:
    """Status line and headers of an answer, the names spelled as they came."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]

    def __getitem__(self, name: str) -> str | None:
        """The value of a header, whatever its case; None when it is absent."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    @property
    def trickle(self) -> dict[str, str]:
        """The wire's own headers, without their common beginning."""
        prefix = "lp-trickle-"
        return {
            n[len(prefix) :].capitalize(): v
            for n, v in self.headers
            if n.lower().startswith(prefix)
        }

    @property
    def closes(self) -> bool:
        """Whether it announces that the connection ends behind it."""
        return (self["Connection"] or "").lower() == "close"

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read what stands before the body."""
        status_line, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        version, status, *reason = status_line.split(" ", 2)
        assert version == "HTTP/1.1", status_line
        split = (line.partition(":") for line in lines)
        headers = tuple((name, value.strip()) for name, _, value in split)
        return cls(int(status), "".join(reason), headers)


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    head: Head
    body: bytes

    @property
    def status(self) -> int:
        return self.head.status

    @property
    def trickle(self) -> dict[str, str]:
        return self.head.trickle

    @property
    def text(self) -> str:
        """The body, and with the line break that Go's error writer ends it with removed."""
        return self.body.decode().removesuffix("\n")


class Connection:
    """One TCP connection: requests go out as given, answers come back piece by piece."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host
        self._methods: list[str] = []
        self._chunked = False
        self._left = 0

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        """Connect."""
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection(host, port, limit=_BUFFER_BYTES)
        return cls(reader, writer, f"{host}:{port}")

    async def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self._writer.write(data)
        async with asyncio.timeout(LIMIT_S):
            await self._writer.drain()

    def compose(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        chunked: bool = False,
    ) -> bytes:
        """A request's bytes; with `chunked` its head alone, whose body follows by `send_chunk`."""
        self._methods.append(method)
        fields = {"Host": self._host, **(headers or {})}
        if chunked:
            fields["Transfer-Encoding"] = "chunked"
        elif body is not None:
            fields["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode() + (body or b"")

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        chunked: bool = False,
    ) -> None:
        """Send what `compose` makes."""
        await self.send(self.compose(method, path, headers=headers, body=body, chunked=chunked))

    async def send_chunk(self, data: bytes) -> None:
        """A part of a chunked body."""
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def send_last(self) -> None:
        """The end of a chunked body."""
        await self.send(b"0\r\n\r\n")

    async def head(self, *, limit_s: float = LIMIT_S) -> Head:
        """The next status line and headers, interim ones included."""
        async with asyncio.timeout(limit_s):
            try:
                head = Head.parse(await self._reader.readuntil(b"\r\n\r\n"))
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise Cut("the connection ended without an answer") from error
        if head.status >= 200:
            self._frame(head)
        return head

    async def chunk(self) -> bytes:
        """The next part of the body; b"" at its proper end.

        Raises:
            Cut: The connection ended before the body did.
        """
        async with asyncio.timeout(LIMIT_S):
            try:
                return await (self._next_chunk() if self._chunked else self._next_part())
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise Cut("the body was cut") from error

    async def exactly(self, size: int) -> bytes:
        """So many bytes of the body, however they are cut into chunks."""
        got = b""
        while len(got) < size:
            part = await self.chunk()
            assert part, f"the body ended after {got!r}"
            got += part
        assert len(got) == size, got
        return got

    async def rest(self) -> bytes:
        """What is left of the body."""
        parts = []
        while part := await self.chunk():
            parts.append(part)
        return b"".join(parts)

    async def over(self) -> None:
        """Wait for the end of the body, whether it is proper or cut; nothing may come before."""
        try:
            assert await self.chunk() == b""
        except Cut:
            return

    async def answer(self, *, limit_s: float = LIMIT_S) -> Answer:
        """The next final answer, whole; interim ones are passed over."""
        head = await self.head(limit_s=limit_s)
        while head.status < 200:
            head = await self.head(limit_s=limit_s)
        return Answer(head, await self.rest())

    async def quiet(self, seconds: float) -> None:
        """Fail if anything comes within a time, be it the end of the connection."""
        try:
            came = await asyncio.wait_for(self._reader.read(1000), seconds)
        except TimeoutError:
            return
        pytest.fail(f"something came: {came!r}" if came else "the connection was closed")

    async def ended(self, *, within_s: float = 5.0) -> None:
        """Wait until the server closes, with nothing more said."""
        async with asyncio.timeout(within_s):
            try:
                assert await self._reader.read(1000) == b""
            except ConnectionError:
                return

    async def dismissed(self) -> None:
        """End our chunked body, and wait until the server closes.

        It has announced that before. go-livepeer's closes at once on some occasions and waits for
        the end of the body on others, so that a peer may rely on the announcement alone.
        """
        try:
            await self.send_last()
        except ConnectionError:
            return
        await self.ended()

    def finish(self) -> None:
        """Say that nothing more is sent (FIN), and go on listening."""
        self._writer.write_eof()

    def abort(self) -> None:
        """End the connection at once. Idempotent."""
        self._writer.transport.abort()

    async def aclose(self) -> None:
        """End the connection and wait for it. Idempotent."""
        self.abort()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return

    def _frame(self, head: Head) -> None:
        bodiless = self._methods.pop(0) == "HEAD" or head.status in (204, 304)
        self._chunked = not bodiless and head["Transfer-Encoding"] == "chunked"
        self._left = 0 if bodiless else int(head["Content-Length"] or 0)

    async def _next_chunk(self) -> bytes:
        size = int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16)
        data = await self._reader.readexactly(size)
        assert await self._reader.readexactly(2) == b"\r\n"
        if not size:
            self._chunked = False
        return data

    async def _next_part(self) -> bytes:
        if not self._left:
            return b""
        data = await self._reader.read(self._left)
        if not data:
            raise Cut("the body was cut")
        self._left -= len(data)
        return data
