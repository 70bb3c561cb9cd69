"""`Client` and `SyncClient`, as an application uses them."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from _client.load import CAPABILITY, GATEWAY, TIMEOUT_S
from livepeer.client import Client, SyncClient

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from _client.load import Load


def prepared(payload: dict[str, object], load: Load) -> object:
    del load
    return payload


def right(prepared: object, answer: object) -> bool:
    return answer == prepared


@asynccontextmanager
async def opened(load: Load) -> AsyncGenerator[Callable[[object], Awaitable[object]]]:
    async with (
        Client(gateway=load.url) if load.way == GATEWAY else Client(orchestrators=[load.url])
    ) as client:
        yield lambda payload: client.call(
            CAPABILITY, payload, route=load.route, timeout_s=TIMEOUT_S
        )


@contextmanager
def opened_sync(load: Load) -> Generator[Callable[[object], object]]:
    with (
        SyncClient(gateway=load.url)
        if load.way == GATEWAY
        else SyncClient(orchestrators=[load.url])
    ) as client:
        yield lambda payload: client.call(
            CAPABILITY, payload, route=load.route, timeout_s=TIMEOUT_S
        )
