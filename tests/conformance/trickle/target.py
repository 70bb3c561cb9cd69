"""The server under test: raw connections to it, and channels of it under random names."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from .wire import Answer, Connection

if TYPE_CHECKING:
    from collections.abc import Mapping


class Server:
    """A trickle server by its base URL. A context manager that ends what was begun.

    Args:
        url: The base URL, with or without a slash at its end.
        settle_s: How long a request that is answered late takes to reach the server for certain.
    """

    def __init__(self, url: str, *, settle_s: float) -> None:
        parts = urlsplit(url)
        assert parts.scheme == "http", f"only http is tested: {url}"
        assert parts.hostname is not None
        self.host = parts.hostname
        self.port = parts.port or 80
        self.base = parts.path.rstrip("/") + "/"
        self.url = f"http://{self.host}:{self.port}{self.base}".rstrip("/")
        self.settle_s = settle_s
        self._used: set[Channel] = set()
        self._stack = AsyncExitStack()

    def channel(self, name: str | None = None) -> Channel:
        """A channel that nobody else uses; it is not created by this."""
        channel = Channel(self, name or f"case-{secrets.token_hex(6)}")
        self._used.add(channel)
        return channel

    async def connect(self) -> Connection:
        """A new connection, ended with the test."""
        connection = await Connection.open(self.host, self.port)
        self._stack.push_async_callback(connection.aclose)
        return connection

    async def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One request on a connection of its own, and its answer."""
        connection = await self.connect()
        await connection.request(method, self.base + path, headers=headers, body=body)
        answer = await connection.answer()
        await connection.aclose()
        return answer

    async def settle(self) -> None:
        """Wait until what was sent has reached the server."""
        await asyncio.sleep(self.settle_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        for channel in self._used:
            await channel.delete()
        await self._stack.aclose()


class Channel:
    """What one does with a channel, in the words of the wire."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.path = server.base + name
        self.url = f"{server.url}/{name}"

    async def create(self, content_type: str | None = None) -> Answer:
        headers = {} if content_type is None else {"Expect-Content": content_type}
        return await self.server.ask("POST", self.name, headers=headers, body=b"")

    async def delete(self, seq: int | str | None = None) -> Answer:
        """Close the channel, or with a number end a segment early."""
        return await self.server.ask("DELETE", self._relative(seq))

    async def get(self, seq: int | str) -> Answer:
        """A whole segment."""
        return await self.server.ask("GET", self._relative(seq))

    async def next(self) -> int:
        """The leading edge."""
        answer = await self.get("next")
        assert answer.status == 200
        return int(answer.body)

    async def publish(
        self, seq: int | str, body: bytes, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """A whole segment, chunked like every real publisher's."""
        connection = await self.post(seq, headers=headers)
        if body:
            await connection.send_chunk(body)
        await connection.send_last()
        return await connection.answer()

    async def fill(self, *seqs: int) -> None:
        """Write segments that hold their number."""
        for seq in seqs:
            assert (await self.publish(seq, b"%d" % seq)).status == 200

    async def post(self, seq: int | str, *, headers: Mapping[str, str] | None = None) -> Connection:
        """A publisher that has sent its headers, and no byte yet."""
        connection = await self.server.connect()
        await connection.request("POST", self._path(seq), headers=headers, chunked=True)
        return connection

    async def waiting_post(self, seq: int | str) -> Connection:
        """A publisher that the server has seen, and no byte of whose body is there."""
        connection = await self.post(seq)
        await connection.quiet(self.server.settle_s)
        return connection

    async def reader(self, seq: int | str) -> Connection:
        """A reader that has asked, whose answer is still to be read."""
        connection = await self.server.connect()
        await connection.request("GET", self._path(seq))
        return connection

    async def waiting_reader(self, seq: int | str) -> Connection:
        """A reader that the server has seen and says nothing to yet."""
        connection = await self.reader(seq)
        await connection.quiet(self.server.settle_s)
        return connection

    def _relative(self, seq: int | str | None) -> str:
        return self.name if seq is None else f"{self.name}/{seq}"

    def _path(self, seq: int | str) -> str:
        return f"{self.path}/{seq}"
