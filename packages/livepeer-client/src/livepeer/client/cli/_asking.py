"""Several orchestrators asked side by side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from livepeer.client.errors import ClientError, ConfigError, InvalidKey, MissingExtra, SignerError
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from livepeer.client import Candidate

PARALLEL = 5

_T = TypeVar("_T")


async def ask_all(
    candidates: Sequence[Candidate], ask: Callable[[str], Awaitable[_T]]
) -> list[_T | ClientError]:
    """What each answers, or why it does not, in the order of the list; five at a time.

    Raises:
        ClientError: One that is no orchestrator's fault.
    """
    slots = asyncio.Semaphore(PARALLEL)

    async def one(url: str) -> _T | ClientError:
        async with slots:
            try:
                return await ask(url)
            except (ConfigError, InvalidKey, MissingExtra, SignerError):
                raise
            except ClientError as error:
                return error

    tasks = [asyncio.create_task(one(candidate.url)) for candidate in candidates]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        await cancel_and_wait(*tasks)
