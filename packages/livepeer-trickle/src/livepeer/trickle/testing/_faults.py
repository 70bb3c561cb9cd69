"""What goes wrong, and when: rules on requests, and the state that all connections share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

Direction = Literal["up", "down"]
How = Literal["reset", "close", "freeze"]


@dataclass(eq=False, slots=True)
class Exchange:
    """One request on one connection, and what has passed of it and of its answer."""

    method: str = ""
    path: str = ""
    up: int = 0
    """Bytes of the request's body so far, as they are on the wire."""
    down: int = 0
    """Bytes of the answer so far, its head with them."""
    passed: bool = False
    """Whether the target has seen its head."""
    ended: bool = False
    """Whether the request has passed whole."""
    answered: bool = False
    """Whether a rule gave the answer; what is left of the request goes nowhere then."""

    def count(self, direction: Direction) -> int:
        return self.up if direction == "up" else self.down

    def add(self, direction: Direction, size: int) -> None:
        """Count bytes that were passed on."""
        if direction == "up":
            self.up += size
        else:
            self.down += size

    def matches(self, method: str | None, path: str | None) -> bool:
        """Whether it is a request of that method, and of a path that fits the pattern."""
        return method in (None, self.method) and (path is None or fnmatchcase(self.path, path))


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that the proxy gives itself."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def encode(self) -> bytes:
        """The answer as it goes over the wire."""
        fields = {**self.headers, "Content-Length": str(len(self.body))}
        lines = [f"HTTP/1.1 {self.status} Fault", *(f"{k}: {v}" for k, v in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


@dataclass(eq=False, slots=True)
class Rule:
    """A fault that waits for its requests.

    Attributes:
        fired: How many requests it has met.
    """

    method: str | None
    path: str | None
    direction: Direction
    at: int | None
    """After how many bytes it fires; None for the whole body."""
    action: How | Answer
    times: int | None
    fired: int = 0

    @property
    def spent(self) -> bool:
        """Whether it has met as many requests as it was made for."""
        return self.times is not None and self.fired >= self.times

    def meets(self, exchange: Exchange) -> bool:
        """Whether it is for this request, and can still act on it."""
        if isinstance(self.action, Answer):
            late = exchange.down > 0 or exchange.answered
        else:
            late = self.direction == "up" and exchange.ended
        return not self.spent and not late and exchange.matches(self.method, self.path)

    def allows(self, exchange: Exchange, direction: Direction, size: int) -> int | None:
        """How many of `size` bytes more may pass before it fires; None where it does not fire.

        An answer fires before its first byte passes. A rule on the request fires as soon as the
        byte before has passed, since none may ever follow.
        """
        if self.at is None or direction != self.direction or not self.meets(exchange):
            return None
        if direction == "down" and not size:
            return None
        left = max(0, self.at - exchange.count(direction))
        return left if left <= size else None


@dataclass(frozen=True, slots=True)
class Due:
    """A rule that fires after `size` bytes more."""

    rule: Rule
    size: int


@dataclass(eq=False)
class Faults:
    """The faults of one proxy, as they are at this moment, and its counts."""

    rng: random.Random
    rules: list[Rule] = field(default_factory=list[Rule])
    rate: dict[Direction, float] = field(default_factory=dict[Direction, float])
    delay_s: float = 0.0
    reset_every: float = 0.0
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    resets: int = 0
    answers: int = 0

    def budget(self) -> float:
        """After how many bytes a connection is reset at random."""
        if not self.reset_every:
            return float("inf")
        return self.rng.expovariate(1 / self.reset_every)

    def first(self, exchange: Exchange, direction: Direction, size: int) -> Due | None:
        """What fires first within the next `size` bytes."""
        due = [
            Due(rule, allowed)
            for rule in self.rules
            if (allowed := rule.allows(exchange, direction, size)) is not None
        ]
        return min(due, key=lambda each: each.size, default=None)

    def at_end(self, exchange: Exchange) -> Due | None:
        """What fires when the request has passed whole."""
        return next((Due(r, 0) for r in self.rules if r.at is None and r.meets(exchange)), None)

    def count(self, direction: Direction, size: int) -> None:
        """Count bytes that were passed on."""
        if direction == "up":
            self.bytes_up += size
        else:
            self.bytes_down += size
