"""What is asked of every subject, the same for all, and how a lap is made of it."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from _face.processes import resident_of
from _face.roles import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

GATEWAY, DIRECT = "gateway", "direct"
ASYNC, SYNC = "async", "sync"
CAPABILITY = "echo"
TIMEOUT_S = 60


@dataclass(frozen=True)
class Load:
    """One lap.

    Attributes:
        url: The node, which is a gateway and an orchestrator.
        way: As which of these it is called.
        face: By coroutines on one loop, or by threads.
        callers: How many call at the same time, each again as soon as it is answered.
        parts: How many calls; what is used is told after each part.
        payloads: How many different payloads there are.
        route: The runner's path.
        headers: What a job's request has, for who makes none.
    """

    url: str
    way: str = GATEWAY
    face: str = ASYNC
    callers: int = 1
    parts: tuple[int, ...] = (1,)
    payloads: int = 1
    route: str = "predict"
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def plain(self) -> dict[str, object]:
        """As JSON has it."""
        return asdict(self)


class Subject(Protocol):
    """What the module of a subject has; an answer is right when it is what went out."""

    def prepared(self, payload: dict[str, object], load: Load, /) -> Any:
        """What `call` takes, made before anything is measured."""
        ...

    def right(self, prepared: Any, answer: Any, /) -> bool:
        """Whether the answer is the payload."""
        ...

    def opened(self, load: Load, /) -> AbstractAsyncContextManager[Callable[[Any], Awaitable[Any]]]:
        """What makes a call on a loop."""
        ...

    def opened_sync(self, load: Load, /) -> AbstractContextManager[Callable[[Any], Any]]:
        """What makes a call on a thread."""
        ...


@dataclass
class Part:
    """What a part came to.

    Attributes:
        right: Calls that were answered as they should be.
        faults: What was wrong with some of the others, in words.
        cpu: CPU seconds of this process.
        wall: Seconds.
        resident: MiB at its end.
        blocks: Blocks of memory that Python's own allocator held at its end.
    """

    right: int = 0
    faults: list[str] = field(default_factory=list[str])
    cpu: float = 0.0
    wall: float = 0.0
    resident: float = 0.0
    blocks: int = 0

    def note(self, right: bool, answer: object) -> None:
        """Count one answer."""
        if right:
            self.right += 1
        elif len(self.faults) < 3:
            self.faults.append(repr(answer)[:200])


def lap(subject: Subject, load: Load) -> list[Part]:
    """Make all calls of a lap."""
    payloads = [{"text": "hello", "number": number} for number in range(load.payloads)]
    prepared = [subject.prepared(payload, load) for payload in payloads]
    if load.face == SYNC:
        return _by_threads(subject, load, prepared)
    return asyncio.run(_on_a_loop(subject, load, prepared))


async def _on_a_loop(subject: Subject, load: Load, prepared: list[Any]) -> list[Part]:
    made: list[Part] = []
    async with subject.opened(load) as call:

        async def caller(numbers: Iterator[int], part: Part) -> None:
            for number in numbers:
                sent = prepared[number % len(prepared)]
                try:
                    answer = await call(sent)
                except Exception as error:  # noqa: BLE001 - whatever it is, the call is lost
                    part.note(False, error)
                else:
                    part.note(subject.right(sent, answer), answer)

        for calls in load.parts:
            part, numbers, begun = Part(), iter(range(calls)), _used()
            async with asyncio.TaskGroup() as group:
                for _ in range(load.callers):
                    group.create_task(caller(numbers, part))
            made.append(_ended(part, begun))
    return made


def _by_threads(subject: Subject, load: Load, prepared: list[Any]) -> list[Part]:
    made: list[Part] = []
    with subject.opened_sync(load) as call, ThreadPoolExecutor(load.callers) as pool:

        def caller(numbers: Iterator[int]) -> Part:
            # A part of its own for each thread: counting is not atomic.
            part = Part()
            for number in numbers:
                sent = prepared[number % len(prepared)]
                try:
                    answer = call(sent)
                except Exception as error:  # noqa: BLE001 - whatever it is, the call is lost
                    part.note(False, error)
                else:
                    part.note(subject.right(sent, answer), answer)
            return part

        for calls in load.parts:
            numbers, begun = iter(range(calls)), _used()
            parts = list(pool.map(caller, [numbers] * load.callers))
            faults = [fault for part in parts for fault in part.faults]
            whole = Part(right=sum(part.right for part in parts), faults=faults[:3])
            made.append(_ended(whole, begun))
    return made


def _used() -> tuple[float, float]:
    return cpu_seconds(), time.perf_counter()


def _ended(part: Part, begun: tuple[float, float]) -> Part:
    cpu, wall = _used()
    part.cpu, part.wall = cpu - begun[0], wall - begun[1]
    gc.collect()
    part.resident, part.blocks = resident_of(os.getpid()), sys.getallocatedblocks()
    return part
