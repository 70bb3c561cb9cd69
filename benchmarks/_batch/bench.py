"""The servers and the callers of all laps, and what one lap found."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

from _face.processes import Failed, number

from .load import Job
from .serving import started
from .setup import COG

if TYPE_CHECKING:
    from collections.abc import Generator

    from .serving import Server
    from .setup import Setup

LAP_S = 600.0
AGAIN_S = 0.0005


@dataclass(frozen=True)
class Lap:
    """What one lap found.

    Attributes:
        wall: Seconds until all had been answered.
        cpu: CPU seconds of the server and its children.
        own: CPU seconds of the callers.
        statuses: How many answers had which status.
        broken: Connections that ended before the answer did.
        late: Requests that were not answered.
        items: Items of streams.
        delay: Median seconds until an answer of 200 was complete.
        longest: The same, its 99th percentile.
        first: Median seconds until its first item.
    """

    wall: float
    cpu: float
    own: float
    statuses: dict[str, int]
    broken: int
    late: int
    items: int
    delay: float
    longest: float
    first: float

    @property
    def answers(self) -> int:
        """All answers, of whatever status."""
        return sum(self.statuses.values())

    @property
    def accepted(self) -> int:
        """Those of 200."""
        return self.statuses.get("200", 0)


class Bench:
    """Starts servers, and has the callers' process ask them. A context manager."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.busiest: dict[str, float] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._load = self._stack.enter_context(self.setup.helper("_batch.load"))
        self._load.hear()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def serving(self, subject: str, work: str, concurrency: int) -> Generator[Server]:
        """A server of one work that is ready.

        Raises:
            Failed: It cannot do that work, did not start, or gives another answer than is asked
                for.
        """
        with started(self.setup, subject, work, concurrency) as server:
            self._check(server)
            yield server

    def lap(self, server: Server, **job: object) -> Lap:
        """Have callers ask a server; the fields of `Job` say how.

        Raises:
            Failed: The callers could not.
        """
        plain = {"subject": server.subject, "work": server.work, "port": server.port}
        found = self._ask({**plain, "pid": server.pid, **job})
        return Lap(
            wall=number(found, "wall"),
            cpu=number(found, "cpu"),
            own=number(found, "own"),
            statuses=cast("dict[str, int]", found["statuses"]),
            broken=int(number(found, "broken")),
            late=int(number(found, "late")),
            items=int(number(found, "items")),
            delay=number(found, "delay"),
            longest=number(found, "longest"),
            first=number(found, "first"),
        )

    def clean(self, server: Server, **job: object) -> Lap:
        """The same, where every answer has to be the one that is asked for.

        Cog answers before its slot is free again, so that who asks next is refused. That caller
        asks once more a moment later, and only what was accepted counts.

        Raises:
            Failed: One was not.
        """
        lap = self.lap(server, again_s=AGAIN_S, **job)
        allowed = {"200", "409"} if server.subject == COG else {"200"}
        if set(lap.statuses) - allowed or not lap.accepted or lap.broken or lap.late:
            raise Failed(
                f"answers by status {lap.statuses}, {lap.broken} broken, {lap.late} without an end"
            )
        share = lap.own / lap.wall
        self.busiest[server.work] = max(share, self.busiest.get(server.work, 0.0))
        return lap

    def _check(self, server: Server) -> None:
        job = Job(server.subject, server.work, server.port, server.pid)
        fault = self._ask(job.plain())["fault"]
        if fault is not None:
            raise Failed(str(fault))

    def _ask(self, job: dict[str, object]) -> dict[str, object]:
        self._load.tell(job)
        found = self._load.hear(LAP_S)
        if "error" in found:
            raise Failed(f"the callers found: {found['error']}")
        return found
