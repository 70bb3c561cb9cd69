"""One module per client, each with `publish(load)` and `subscribe(load)`, as its users would.

Where a client does not wait for the answer to a segment by itself, `answered` waits for it:
everybody has to know that the server has the bytes, and nobody may overtake himself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Posting(Protocol):
    """A peer's publisher, which runs each POST by this method."""

    _run_post: Callable[..., Awaitable[None]]


def answered(publisher: Posting) -> asyncio.Event:
    """An event that is set whenever a POST of the publisher was answered."""
    event = asyncio.Event()
    # It tells of the answer in no public way.
    run = publisher._run_post  # pyright: ignore[reportPrivateUsage]

    async def posted(*arguments: object) -> None:
        await run(*arguments)
        event.set()

    publisher._run_post = posted  # pyright: ignore[reportPrivateUsage]
    return event
