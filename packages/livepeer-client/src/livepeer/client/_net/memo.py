"""Values that are made once, however many ask for them at the same time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Keeps what was made, the least recently used of it first to go.

    Whoever asks while a value is being made waits for that one. A failure is not kept: it goes to
    all who waited, and the next who asks has it tried again.

    Args:
        limit: How many values are kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[K, V] = OrderedDict()
        # By loop as well: a signer may serve clients on loops of several threads.
        self._flights: dict[tuple[asyncio.AbstractEventLoop, K], asyncio.Task[V]] = {}

    async def get(self, key: K, make: Callable[[], Coroutine[None, None, V]]) -> V:
        """The value of `key`, which `make` makes when there is none."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        place = (asyncio.get_running_loop(), key)
        flight = self._flights.get(place)
        if flight is None:
            flight = asyncio.create_task(self._make(place, make))
            self._flights[place] = flight
        # Shielded: that one of those who wait gives up is not the others' loss.
        return await asyncio.shield(flight)

    async def aclose(self) -> None:
        """Give up what is being made on this loop."""
        loop = asyncio.get_running_loop()
        await cancel_and_wait(*[task for (at, _), task in self._flights.items() if at is loop])

    async def _make(
        self,
        place: tuple[asyncio.AbstractEventLoop, K],
        make: Callable[[], Coroutine[None, None, V]],
    ) -> V:
        try:
            value = await make()
        finally:
            del self._flights[place]
        self._values[place[1]] = value
        if len(self._values) > self._limit:
            self._values.popitem(last=False)
        return value
