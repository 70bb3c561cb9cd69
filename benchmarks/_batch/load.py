"""The callers' process: `python -m _batch.load`; it is not measured but for its own sake.

Each line on standard input is a job; it is answered by what came back of it and by what the server
used meanwhile, or by `{"error": ...}`.
"""

from __future__ import annotations

import gc
import json
import select
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from _face.roles import say
from _face.usage import cpu_of_family

from .caller import STALLED_S, Broken, Caller, unchunked
from .crowd import Crowd
from .wire import fault, request

if TYPE_CHECKING:
    from .crowd import Heard

SETTLE_S = 0.3


@dataclass(frozen=True)
class Job:
    """What the callers do.

    Attributes:
        subject: Whose server it is.
        work: What they ask for.
        port: Where.
        pid: The server's process, whose CPU and that of its children is counted.
        callers: How many.
        seconds: How long; 0 for one request, whose answer is looked at.
        warm_s: How long before that, without being counted.
        limit: How many requests in all; 0 for no limit.
        period_s: How long after its last request each caller's next one is due.
        again_s: How long after a refusal it is due at the earliest.
        values: The fields of the body; None for those that the work is measured with.
        held: How many others ask once before, and are not answered before the end.
        held_values: The fields of their bodies.
    """

    subject: str
    work: str
    port: int
    pid: int
    callers: int = 1
    seconds: float = 0.0
    warm_s: float = 0.0
    limit: int = 0
    period_s: float = 0.0
    again_s: float = 0.0
    values: dict[str, object] | None = None
    held: int = 0
    held_values: dict[str, object] | None = None

    def plain(self) -> dict[str, object]:
        """The job as it is told to another process."""
        return asdict(self)


def check(job: Job) -> dict[str, object]:
    """Ask once; what is wrong with the answer."""
    caller = Caller(job.port, request(job.subject, job.work), keep=True)
    with select.epoll() as poll:
        poll.register(caller.fileno(), select.EPOLLIN)
        written = caller.send()
        while True:
            if not written:
                written = caller.write()
            if not poll.poll(STALLED_S if written else 0.001):
                if written:
                    return {"fault": f"no answer in {STALLED_S:g} s"}
                continue
            if caller.read():
                break
    body = unchunked(caller.body) if caller.chunked else caller.body
    caller.close()
    return {"fault": fault(job.subject, job.work, caller.status, body)}


def lap(job: Job) -> dict[str, object]:
    """Ask for as long as the job says."""
    crowd = Crowd(job.port, request(job.subject, job.work, job.values), job.callers)
    held = Crowd(job.port, request(job.subject, job.work, job.held_values), job.held)
    held.begin()
    try:
        if job.held:
            time.sleep(SETTLE_S)
        if job.warm_s:
            crowd.ask(job.warm_s, again_s=job.again_s)
        used, own, begun = cpu_of_family(job.pid), time.process_time(), time.perf_counter()
        heard = crowd.ask(
            job.seconds, limit=job.limit or None, period_s=job.period_s, again_s=job.again_s
        )
        wall = time.perf_counter() - begun
        own, used = time.process_time() - own, cpu_of_family(job.pid) - used
    finally:
        crowd.close()
        held.close()
    return {"wall": wall, "cpu": used, "own": own, **_plain(heard)}


def _plain(heard: Heard) -> dict[str, object]:
    delays, firsts = sorted(heard.delays), heard.firsts
    return {
        "statuses": {str(status): count for status, count in heard.statuses.items()},
        "broken": heard.broken,
        "late": heard.late,
        "items": heard.items,
        "delay": statistics.median(delays) if delays else 0.0,
        "longest": delays[int(len(delays) * 0.99)] if delays else 0.0,
        "first": statistics.median(firsts) if firsts else 0.0,
    }


def main() -> None:
    """Do one job after the other until there are no more."""
    # Nothing here makes cycles, and a collection would be somebody's delay.
    gc.disable()
    say({"up": True})
    while line := sys.stdin.readline():
        job = Job(**json.loads(line))
        try:
            say(lap(job) if job.seconds else check(job))
        except (Broken, OSError) as error:
            say({"error": str(error)})


if __name__ == "__main__":
    main()
