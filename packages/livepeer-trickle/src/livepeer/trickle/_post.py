"""The POST of a segment, as aiohttp sees it: its body, and what the answer to it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp.payload import Payload

from ._wire import CLOSED
from .errors import ChannelClosed, ChannelNotFound, SegmentRejected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import aiohttp
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http import StreamWriter


class Body(Payload):
    """A request body that gives its connection away for as long as `feed` runs."""

    def __init__(self, feed: Callable[[AbstractStreamWriter], Awaitable[None]]) -> None:
        super().__init__(None)
        self._feed = feed

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self._feed(writer)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        del encoding, errors
        raise TypeError("a segment is sent while it is written, and cannot be read back")


async def raise_for_answer(response: aiohttp.ClientResponse, seq: int, channel_url: str) -> None:
    """Raise what an answer says that is no acknowledgement; `Closed` goes before a good status."""
    if response.status == 404:
        raise ChannelNotFound("the channel does not exist", url=channel_url, status=404)
    if CLOSED in response.headers:
        raise ChannelClosed("the channel was closed", url=channel_url)
    if response.status != 200:
        text = (await response.content.read(500)).decode(errors="replace").strip()
        raise SegmentRejected(
            f"segment {seq} was refused with {response.status} {text!r}",
            url=str(response.url),
            status=response.status,
        )


def unsent(wire: StreamWriter) -> int:
    """How many bytes the system has not taken yet."""
    transport = wire.transport
    return transport.get_write_buffer_size() if transport is not None else 0
