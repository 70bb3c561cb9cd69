"""Client sessions and the retry schedule that publisher and subscriber share."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

CONNECT_TIMEOUT_S = 10.0


def trickle_session(*, verify_tls: bool = True) -> aiohttp.ClientSession:
    """A session for trickle: no total timeout, and a connection for every open segment.

    Share one among the publishers and subscribers of a program, and close it after them.
    `verify_tls=False` takes any certificate; orchestrators sign their own by default.

    Requests wait at the leading edge for as long as nothing is published, which aiohttp's default
    total timeout would end; and a connection limit would let the waiting ones starve the others.
    """
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        connector=aiohttp.TCPConnector(limit=0, ssl=verify_tls),
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


def backoff(first_s: float = 0.1, longest_s: float = 1.0) -> Iterator[float]:
    """Waits between attempts: doubling, with jitter, up to `longest_s`."""
    wait = first_s
    while True:
        yield wait * random.uniform(0.5, 1.0)
        wait = min(wait * 2, longest_s)
