"""What running streams are charged, as the orchestrator's monitor does it.

Source: go-livepeer `byoc/stream_orchestrator.go` (`monitorOrchStream`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

CHARGE_S: Final = 23


@dataclass
class _Meter:
    charge: Callable[[], Fraction]
    end: Callable[[], None]
    task: asyncio.Task[None] | None = None
    warned: bool = False


class Meters:
    """One meter for each priced stream.

    Attributes:
        every_s: How often a stream is charged for 23 s; a test that does not wait makes it long
            and calls `tick`, or short. Read when a stream starts.
    """

    def __init__(self) -> None:
        self.every_s: float = CHARGE_S
        self._meters: dict[str, _Meter] = {}

    def start(
        self, stream_id: str, charge: Callable[[], Fraction], end: Callable[[], None]
    ) -> None:
        """Begin to charge a stream.

        Args:
            stream_id: The stream.
            charge: Debits 23 s and gives the balance.
            end: Ends the stream, when it is found in debt for the second time.
        """
        meter = self._meters[stream_id] = _Meter(charge, end)
        meter.task = asyncio.create_task(self._run(stream_id, self.every_s))

    def tick(self, stream_id: str) -> Fraction:
        """Charge a stream for 23 s now; gives the sender's balance, wei."""
        meter = self._meters[stream_id]
        balance = meter.charge()
        if balance < 0 and meter.warned:
            meter.end()
        # One warning is all that a stream gets, also when it is paid for in between.
        meter.warned = meter.warned or balance < 0
        return balance

    def stop(self, stream_id: str) -> None:
        """Charge a stream no more; nothing happens for one that is not charged."""
        meter = self._meters.pop(stream_id, None)
        if meter and meter.task and meter.task is not asyncio.current_task():
            meter.task.cancel()

    async def close(self) -> None:
        """Stop every meter."""
        tasks = [meter.task for meter in self._meters.values()]
        self._meters.clear()
        await cancel_and_wait(*tasks)

    async def _run(self, stream_id: str, every_s: float) -> None:
        meter = self._meters[stream_id]
        while self._meters.get(stream_id) is meter:
            await asyncio.sleep(every_s)
            if self._meters.get(stream_id) is meter:
                self.tick(stream_id)
