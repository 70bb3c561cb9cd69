"""Admission: so many calls run, so many wait, and the next one is refused at once."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from contextlib import suppress
from typing import Final

from livepeer.runner._batch_metrics import Load
from livepeer.runner.errors import AtCapacity

_LONGEST_HINT_S: Final = 60
_WEIGHT: Final = 0.2  # of the last call, in what calls take


class Gate:
    """Slots for running calls, and a bounded queue in front of them, first come first served.

    Args:
        slots: Calls that run at the same time.
        queue: Calls that may wait for a slot.
    """

    def __init__(self, slots: int, queue: int) -> None:
        self._slots = slots
        self._queue = queue
        self._most = slots + queue
        self._admitted = 0
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._usual_s = 0.0

    @property
    def load(self) -> Load:
        """What it holds now; calls that nobody waits for any more run as others do."""
        return Load(self._running, self._admitted - self._running, self._slots)

    def check(self) -> None:
        """See that a call that came now would be admitted; costs nothing.

        Raises:
            AtCapacity: No slot is free, and no place in the queue.
        """
        if self._admitted >= self._most:
            raise self._refusal()

    def offer(self, slots: int) -> None:
        """From now on so many calls may run; those that run go on.

        Without any, those that wait are refused: nobody knows for how long it stays so.
        """
        self._slots = slots
        self._most = slots + self._queue if slots else 0
        self._let_in()
        while not slots and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(self._refusal())

    async def enter(self) -> Slot:
        """Take a slot, after a wait in the queue if need be; cancelling leaves the queue.

        Raises:
            AtCapacity: The queue is full.
        """
        self.check()
        self._admitted += 1
        if self._running < self._slots:
            self._running += 1
            return Slot(self)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except BaseException:
            self._admitted -= 1
            if waiter.cancelled():
                with suppress(ValueError):
                    self._waiting.remove(waiter)
            elif waiter.done() and waiter.exception() is None:
                self._running -= 1  # it was let in, and cancelled before it could know
                self._let_in()
            raise
        return Slot(self)

    def _let_in(self) -> None:
        while self._waiting and self._running < self._slots:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._running += 1
                waiter.set_result(None)

    def _refusal(self) -> AtCapacity:
        waiting = self._admitted - self._running
        why = f"busy: {self._running} running and {waiting} waiting"
        if not self._slots:
            why = "no model process is ready"
        return AtCapacity(f"{why}; try again later", retry_after_s=self._hint())

    def _hint(self) -> int:
        # When the last of those who are here will have begun, if calls take what they usually take.
        waits = self._usual_s * (self._admitted - self._running + 1) / max(self._slots, 1)
        return min(max(math.ceil(waits), 1), _LONGEST_HINT_S)

    def left(self, took_s: float) -> None:
        """For `Slot`: one is free again, after so long."""
        self._usual_s += (took_s - self._usual_s) * (_WEIGHT if self._usual_s else 1)
        self._running -= 1
        self._admitted -= 1
        self._let_in()


class Slot:
    """One place of a gate, held from `Gate.enter()` to `leave()`."""

    __slots__ = ("_gate", "_left", "_since")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._since = time.monotonic()
        self._left = False

    def leave(self) -> None:
        """Give the slot back; the work has ended. Idempotent."""
        if not self._left:
            self._left = True
            self._gate.left(time.monotonic() - self._since)
