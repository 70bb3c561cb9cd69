"""One run of one subject: its channels, its process, the meter's word, and what it used."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self
from urllib.request import Request, urlopen

from _face.ports import free_port
from _face.processes import Child, Failed, number, numbers
from _face.usage import cpu_of_family, resident_of_family

from .setup import ISOLATED, OURS, Setup

if TYPE_CHECKING:
    from collections.abc import Generator

    from .job import Job

START_S = 60.0
RUN_S = 900.0
SETTLE_S = 0.3
HTTP_S = 30.0


@dataclass(frozen=True)
class Run:
    """What was measured.

    Attributes:
        cpu: CPU milliseconds of the subject and its children for each picture that came back.
        delays: Milliseconds from the picture sent to the picture back.
        first: Milliseconds from the first picture sent to the first one back.
        lost: Pictures after the warm-up that never came back.
        counted: Pictures after the warm-up.
        rate: Pictures that came back in a second, after the warm-up.
        resident: MiB at the end.
        grown: MiB that it grew since the warm-up.
    """

    cpu: float
    delays: list[float] = field(repr=False)
    first: float
    lost: int
    counted: int
    rate: float
    resident: float
    grown: float


class Bench:
    """The server and the meter of all runs. A context manager."""

    def __init__(self, setup: Setup, server: str | None = None) -> None:
        self.setup = setup
        self._given = server
        self._runs = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._given is None:
            serving = self._stack.enter_context(self.setup.helper("_live.server"))
            self._url = str(serving.hear()["url"])
        else:
            self._url = self._given.rstrip("/")
        self._meter = self._stack.enter_context(
            self.setup.helper("_live.meter", str(self.setup.cache / "clips"))
        )
        self._meter.hear()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, subject: str, job: Job) -> Run:
        """Send the job's pictures through a subject that is started for it.

        Raises:
            Failed: It ended, or nothing came back.
        """
        with self.channels() as channels:
            job = replace(job, incoming=channels["subscribe_url"], outgoing=channels["publish_url"])
            if subject not in (OURS, ISOLATED):
                with self.setup.subject(subject) as child:
                    child.tell(job.plain())
                    child.hear(START_S)
                    return self._measured(child, job)
            with self.runner(subject, job) as (child, runner):
                runner.start("benchmark", channels)
                return self._measured(child, job)

    @contextmanager
    def runner(self, subject: str, job: Job) -> Generator[tuple[Child, Runner]]:
        """A runner of ours that serves the job's pipeline, and is ready."""
        job = replace(job, isolated=subject == ISOLATED, port=free_port())
        with self.setup.subject(subject) as child:
            child.tell(job.plain())
            child.hear(START_S)
            yield child, Runner(child, job.port)

    def send(self, job: Job) -> dict[str, object]:
        """Send a job's pictures, and no more; what the meter found."""
        self._begin(job)
        return [self._meter.hear(RUN_S) for _ in range(3)][-1]

    @contextmanager
    def channels(self) -> Generator[dict[str, str]]:
        """New channels for one stream, by the names that a runner is told of them."""
        self._runs += 1
        names = ("subscribe", "publish", "control", "events")
        urls = {f"{name}_url": f"{self._url}/benchmark-{self._runs}-{name}" for name in names}
        for url in urls.values():
            headers = {"Expect-Content": "video/MP2T"}
            urlopen(Request(url, method="POST", headers=headers), timeout=HTTP_S).close()
        try:
            yield urls
        finally:
            for url in urls.values():
                with suppress(OSError):
                    urlopen(Request(url, method="DELETE"), timeout=HTTP_S).close()

    def _begin(self, job: Job) -> None:
        self._meter.tell(job.plain())
        self._meter.hear()
        time.sleep(SETTLE_S)
        self._meter.tell()

    def _measured(self, child: Child, job: Job) -> Run:
        self._begin(job)
        self._meter.hear(RUN_S)
        cpu, resident = cpu_of_family(child.pid), resident_of_family(child.pid)
        self._meter.hear(RUN_S)
        cpu = cpu_of_family(child.pid) - cpu
        grown = resident_of_family(child.pid) - resident
        found = self._meter.hear(RUN_S)
        back, seconds = number(found, "window"), number(found, "seconds")
        if not back or not child.alive:
            child.hear(0.1)  # raises, with its last words
            raise Failed("no picture came back")
        return Run(
            cpu=cpu / back * 1000,
            delays=numbers(found, "delays"),
            first=number(found, "first"),
            lost=int(number(found, "lost")),
            counted=int(number(found, "counted")),
            rate=back / seconds,
            resident=resident + grown,
            grown=grown,
        )


class Runner:
    """A runner that serves, seen from an orchestrator."""

    def __init__(self, child: Child, port: int) -> None:
        self._child = child
        self._url = f"http://127.0.0.1:{port}"
        self._await_ready()

    def start(self, stream_id: str, channels: dict[str, str]) -> None:
        """Begin a stream."""
        self._post("start", stream_id, {"gateway_request_id": stream_id, **channels})

    def stop(self, stream_id: str) -> None:
        """End a stream."""
        self._post("stop", stream_id, {})

    def _post(self, verb: str, stream_id: str, body: dict[str, str]) -> None:
        headers = {"X-Stream-Id": stream_id, "Content-Type": "application/json"}
        request = Request(
            f"{self._url}/stream/{verb}", json.dumps(body).encode(), headers, method="POST"
        )
        with urlopen(request, timeout=HTTP_S):
            pass

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if not self._child.alive:
                self._child.hear(0.1)
            if self._health() in ("OK", "IDLE"):
                return
            time.sleep(0.05)
        raise Failed("the runner is not ready in time")

    def _health(self) -> str | None:
        try:
            with urlopen(f"{self._url}/health", timeout=HTTP_S) as answer:
                return str(json.load(answer)["status"])
        except OSError:
            return None
