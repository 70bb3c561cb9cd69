"""Many callers at once, each with its next request as soon as it is due, in one loop on epoll."""

from __future__ import annotations

import heapq
import select
from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from .caller import STALLED_S, Broken, Caller

if TYPE_CHECKING:
    from .wire import Request


OK = 200


@dataclass
class Heard:
    """What came back.

    Attributes:
        statuses: How many answers had which status.
        broken: Connections that ended before the answer did.
        late: Requests without an answer when nothing had come for `STALLED_S`.
        items: Items of all answers.
        delays: Seconds of each answer of 200, from its request to its last byte.
        firsts: Seconds of each answer of 200, from its request to its first item or byte.
    """

    statuses: Counter[int] = field(default_factory=Counter[int])
    broken: int = 0
    late: int = 0
    items: int = 0
    delays: list[float] = field(default_factory=list[float])
    firsts: list[float] = field(default_factory=list[float])

    def take(self, caller: Caller) -> None:
        """Count a complete answer."""
        self.statuses[caller.status] += 1
        self.items += caller.items
        if caller.status == OK:
            self.delays.append(perf_counter() - caller.begun)
            self.firsts.append(caller.first - caller.begun)


class Crowd:
    """Callers that ask for the same.

    Args:
        port: Of the server.
        request: What each of them sends.
        callers: How many.
    """

    def __init__(self, port: int, request: Request, callers: int) -> None:
        self._callers = [Caller(port, request) for _ in range(callers)]
        self._by_handle: dict[int, Caller] = {}
        self._poll = select.epoll()
        for caller in self._callers:
            self._watch(caller)

    def close(self) -> None:
        """End all connections."""
        self._poll.close()
        for caller in self._callers:
            caller.close()

    def begin(self) -> None:
        """Send one request each, and wait for nothing."""
        for caller in self._callers:
            caller.send()

    def ask(
        self,
        seconds: float,
        *,
        limit: int | None = None,
        period_s: float = 0.0,
        again_s: float = 0.0,
    ) -> Heard:
        """Send requests for so long, and wait for their answers.

        Args:
            seconds: Until when a new request is sent.
            limit: How many are sent in all; None for as many as there is time for.
            period_s: How long after its last request a caller's next one is due; if the answer
                takes longer, the next one follows at once.
            again_s: How long after a refusal its next one is due at the earliest.
        """
        heard = Heard()
        begun = perf_counter()
        until, left, busy = begun + seconds, limit if limit is not None else -1, 0
        # They begin one after the other, not all in the same moment.
        due = [(begun + period_s * n / len(self._callers), n) for n in range(len(self._callers))]
        numbers = {caller: n for n, caller in enumerate(self._callers)}
        while due or busy:
            now = perf_counter()
            while due and due[0][0] <= now:
                at, number = heapq.heappop(due)
                if at < until and now < until and left != 0:
                    left -= 1
                    busy += 1
                    self._send(self._callers[number])
            if not due and not busy:
                break
            answered = self._hear(max(0.0, due[0][0] - now) if due else STALLED_S, heard)
            if answered is None and not due:
                heard.late += busy
                break
            for caller in answered or ():
                busy -= 1
                pause_s = 0.0 if caller.status == OK else again_s
                at = max(caller.begun + period_s, now + pause_s)
                heapq.heappush(due, (at, numbers[caller]))
        return heard

    def _hear(self, wait_s: float, heard: Heard) -> list[Caller] | None:
        """Those whose request is over, well or not; None when nothing happened."""
        events = self._poll.poll(wait_s)
        over = [
            caller
            for handle, event in events
            if self._advance(caller := self._by_handle[handle], event, heard)
        ]
        return over if events else None

    def _advance(self, caller: Caller, event: int, heard: Heard) -> bool:
        """Write and read what can be; True when its request is over."""
        try:
            if event & select.EPOLLOUT and caller.write():
                self._poll.modify(caller.fileno(), select.EPOLLIN)
            if not event & ~select.EPOLLOUT or not caller.read():
                return False
        except Broken:
            self._again(caller)
            # A server may end a connection on which nothing is asked.
            if not caller.waits:
                return False
            caller.waits = False
            heard.broken += 1
            return True
        heard.take(caller)
        if caller.closed:
            self._again(caller)
        return True

    def _send(self, caller: Caller) -> None:
        try:
            if not caller.send():
                self._poll.modify(caller.fileno(), select.EPOLLIN | select.EPOLLOUT)
        except Broken:
            # It was ended while nothing was asked; once more is all that is tried.
            self._again(caller)
            caller.send()

    def _again(self, caller: Caller) -> None:
        del self._by_handle[caller.fileno()]
        caller.reconnect()
        self._watch(caller)

    def _watch(self, caller: Caller) -> None:
        self._by_handle[caller.fileno()] = caller
        self._poll.register(caller.fileno(), select.EPOLLIN)
