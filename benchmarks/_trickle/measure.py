"""One lap: who publishes, who reads, through which server, and what each of them used."""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from _face.processes import Failed, number, numbers, resident_of

from .progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from _face.processes import Child

    from .load import Plan
    from .setup import Server, Setup

LAP_TIMEOUT_S = 300.0
LOOK_S = 0.01


@dataclass(frozen=True)
class Run:
    """What one lap used.

    Attributes:
        publisher: CPU seconds of the publisher.
        subscriber: CPU seconds of the subscriber.
        server: CPU seconds of the server.
        wall: Seconds until the subscriber had everything.
        delays: Milliseconds from each write until the subscriber had it, in a paced lap.
    """

    publisher: float
    subscriber: float
    server: float
    wall: float
    delays: list[float]

    @property
    def clients(self) -> float:
        """CPU seconds of publisher and subscriber."""
        return self.publisher + self.subscriber


class Contestant:
    """The processes of one client, which run lap after lap. A context manager.

    They stay, so that laps are short and turns are quick: what slows the machine for a second or
    ten slows everybody's lap and not one's whole run.

    Args:
        setup: Who starts them.
        client: Whose subscriber it is.
        publishing: Whose publisher; None has nobody publish.
        uvloop: Whether they run on uvloop.
        readers: How many readers the subscriber's process has.
    """

    def __init__(
        self,
        setup: Setup,
        client: str,
        publishing: str | None,
        *,
        uvloop: bool = False,
        readers: int = 1,
    ) -> None:
        self._setup = setup
        self._client = client
        self._roles = {"subscribe": client, "publish": publishing}
        self._uvloop = uvloop
        self._readers = readers
        self._stack = ExitStack()
        self._laps = itertools.count()
        self.children: dict[str, Child] = {}

    def __enter__(self) -> Self:
        for role, client in self._roles.items():
            if client is not None:
                child = self._setup.role(client, role, uvloop=self._uvloop)
                self.children[role] = self._stack.enter_context(child)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def up(self) -> Self:
        """Wait until all have started."""
        _hear(self.children)
        return self

    def lap(
        self, serving: Server, plan: Plan, watch: Callable[[Progress], None] | None = None
    ) -> Run:
        """Publish and read one plan, through a channel of its own.

        Args:
            serving: The server.
            plan: What is sent.
            watch: Called once all have begun.

        Raises:
            Failed: Somebody failed, or not all bytes arrived.
        """
        name = f"{self._client}-{id(self)}-{next(self._laps)}"
        with _progress(self._readers) as progress, serving.channel(name) as url:
            lap: dict[str, object] = {
                "url": url,
                "plan": plan.plain(),
                "progress": str(progress.path),
                "readers": progress.readers,
            }
            _tell(self.children, lap)
            _hear(self.children)
            before = serving.cpu()
            _tell(self.children)
            if watch is not None:
                watch(progress)
            used = _hear(self.children)
            server = serving.cpu() - before
            _tell(self.children)
            _hear(self.children)
        read, sent = used["subscribe"], used.get("publish", {"cpu": 0.0})
        if (got := read["received"]) != plan.total_bytes:
            raise Failed(f"{self._client}: {got} bytes of {plan.total_bytes} arrived")
        return Run(
            publisher=number(sent, "cpu"),
            subscriber=number(read, "cpu"),
            server=server,
            wall=number(read, "wall"),
            delays=numbers(read, "delays"),
        )


@dataclass(frozen=True)
class Growth:
    """By how many MiB the resident sets grew in a long run."""

    publisher: float
    subscriber: float
    server: float


def growth(setup: Setup, server: str, client: str, plan: Plan, early: int) -> Growth:
    """By how much everybody grows from the segment numbered `early` to the end."""
    with (
        setup.serving(server, plan) as serving,
        Contestant(setup, client, client) as contestant,
    ):
        everybody = {**contestant.up().children, "serve": serving.child}
        sizes: list[dict[str, float]] = []

        def watch(progress: Progress) -> None:
            for segments in (early, plan.segments):
                while progress.least < segments and all(c.alive for c in everybody.values()):
                    time.sleep(LOOK_S)
                sizes.append({role: resident_of(child.pid) for role, child in everybody.items()})

        contestant.lap(serving, plan, watch)
    first, last = sizes
    return Growth(*(last[role] - first[role] for role in ("publish", "subscribe", "serve")))


def _tell(children: Mapping[str, Child], message: Mapping[str, object] | None = None) -> None:
    for child in children.values():
        child.tell(message)


def _hear(children: Mapping[str, Child]) -> dict[str, dict[str, object]]:
    return {role: child.hear(LAP_TIMEOUT_S) for role, child in children.items()}


@contextmanager
def _progress(readers: int) -> Generator[Progress]:
    progress = Progress.create(readers)
    try:
        yield progress
    finally:
        progress.remove()
