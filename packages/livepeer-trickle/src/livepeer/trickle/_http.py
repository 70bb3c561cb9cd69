"""Client sessions for trickle: no total timeout, no limit of connections, dead peers noticed."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

CONNECT_TIMEOUT_S: Final = 10.0

NETWORK_ERRORS: Final = (aiohttp.ClientError, OSError)
UNUSABLE: Final = (RuntimeError, ValueError)
"""What aiohttp raises for a request that cannot be made: a URL that is none, a closed session."""

# A peer that vanished without a word is noticed within 25 s, like by go-livepeer's own clients.
_KEEP_ALIVE: Final = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}

# Segments are opaque bytes: nobody on the way shall compress them.
HEADERS: Final = {"Accept-Encoding": "identity"}


def trickle_session(*, verify_tls: bool = True) -> aiohttp.ClientSession:
    """A session for trickle: no total timeout, and a connection for every open segment.

    Share one among the publishers and subscribers of a program, and close it after them.
    `verify_tls=False` takes any certificate; orchestrators sign their own by default.

    Requests wait at the leading edge for as long as nothing is published, which aiohttp's default
    total timeout would end; and a connection limit would let the waiting ones starve the others.
    """
    return aiohttp.ClientSession(
        timeout=segment_timeout(CONNECT_TIMEOUT_S),
        connector=aiohttp.TCPConnector(limit=0, ssl=verify_tls, socket_factory=_socket),
        # Trickle knows no cookies, and to look for some costs as much as the rest of a request.
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


@asynccontextmanager
async def owned_or_given(
    session: aiohttp.ClientSession | None,
) -> AsyncGenerator[aiohttp.ClientSession]:
    """Give `session` back as it is, or one of our own that closes with the context."""
    if session is not None:
        yield session
        return
    async with trickle_session() as own:
        yield own


def channel_url(url: str) -> URL:
    """The URL of a channel, without a slash at its end.

    Raises:
        ValueError: It is none.
    """
    channel = URL(url.rstrip("/"))
    if channel.scheme not in ("http", "https") or not channel.host or len(channel.parts) < 2:
        raise ValueError(f"url={url!r}: a channel's URL is like http://127.0.0.1:8888/NAME")
    return channel


def segment_timeout(retry_s: float) -> aiohttp.ClientTimeout:
    """Of every request for a segment, whatever its session says: it may wait for ever.

    But not for a connection: one attempt takes no longer than all of them may.
    """
    connect_s = min(CONNECT_TIMEOUT_S, retry_s) or CONNECT_TIMEOUT_S
    return aiohttp.ClientTimeout(total=None, sock_connect=connect_s)


def segment_url(channel: URL, seq: int) -> URL:
    """The URL of one segment of a channel."""
    return channel.with_path(f"{channel.raw_path}/{seq}", encoded=True)


def words(error: BaseException) -> str:
    """What went wrong, for an error's text; some of aiohttp's have none of their own."""
    return str(error) or type(error).__name__


def was_connected(error: BaseException) -> bool:
    """Whether a request that failed, for the cause of this error, had reached a server."""
    cause = error.__cause__
    return isinstance(cause, (aiohttp.ClientError, OSError)) and not isinstance(
        cause, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
    )


def _socket(address: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
    made = socket.socket(address[0], address[1], address[2])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        # Not every system has each; its own patience holds where one is missing.
        with suppress(AttributeError, OSError):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
