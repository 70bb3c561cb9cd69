"""What a server says about its channels, without reading or writing them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import aiohttp
from yarl import URL

from livepeer.trickle._channel import ChannelRequests
from livepeer.trickle._reporter import Reporter
from livepeer.trickle._wire import NEXT
from livepeer.trickle.errors import ChannelRefused, ChannelUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10.0)
_MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Listed:
    """A channel as a server tells of it.

    Attributes:
        name: The channel.
        next: The number of the next segment to be written.
        content_type: Its media type; None where only the edge was asked for.
    """

    name: str
    next: int
    content_type: str | None = None


async def ask_edge(session: aiohttp.ClientSession, url: str, *, retry_s: float = 0) -> int | None:
    """The number of the next segment of the channel at `url`; None where there is no channel.

    Raises:
        ChannelUnreachable: The server failed for longer than `retry_s`.
        ChannelRefused: It does not tell, or is no trickle server.
    """
    reporter = Reporter(url, None)
    channel = ChannelRequests(
        session,
        URL(url.rstrip("/")),
        timeout_s=10.0,
        retry_s=retry_s,
        on_retry=lambda n, wait_s, error: reporter.retry(NEXT, n, wait_s, error),
    )
    try:
        return await channel.edge()
    except ChannelRefused as error:
        if error.status != 200:
            raise
        raise ChannelRefused("this is no trickle server", url=url, status=200) from None


async def ask_listing(session: aiohttp.ClientSession, url: str) -> list[Listed] | None:
    """The channels of the server at `url`; None where that is no base of a server that lists.

    Raises:
        ChannelUnreachable: The server failed.
        ChannelRefused: It lists its channels, but not for us.
    """
    status, _, body = await _get(session, url)
    if status in (401, 403):
        raise ChannelRefused(f"the list was refused with {status}", url=url, status=status)
    if status != 200:
        return None
    try:
        return _read_listing(json.loads(body))
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


async def _get(
    session: aiohttp.ClientSession, url: str
) -> tuple[int, Mapping[str, str], bytearray]:
    body = bytearray()
    try:
        async with session.get(url, timeout=_TIMEOUT, allow_redirects=False) as response:
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > _MAX_ANSWER_BYTES:
                    break
    except (aiohttp.ClientError, OSError) as error:
        raise ChannelUnreachable(_words(error), url=url) from error
    if response.status >= 500:
        raise ChannelUnreachable(
            f"the server failed with {response.status}", url=url, status=response.status
        )
    return response.status, response.headers, body


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer for {_TIMEOUT.total:g} s"
    return str(error) or repr(error)


def _read_listing(document: object) -> list[Listed]:
    channels = cast("dict[str, list[dict[str, object]]]", document)["channels"]
    return [
        Listed(str(c["name"]), int(str(c["next"])), str(c.get("content_type", "")))
        for c in channels
    ]
