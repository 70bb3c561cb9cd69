"""A batch pipeline in several model processes, as HTTP calls it."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Final

from livepeer.runner._context import CURRENT
from livepeer.runner._isolation.faults import search_path
from livepeer.runner._isolation.messages import Close
from livepeer.runner._isolation.secrets import settings_without_secrets
from livepeer.runner._isolation.supervisor import Supervisor
from livepeer.runner._server.caller import WorkerReport
from livepeer.runner._server.pool import gpus
from livepeer.runner._server.pool.link import Link
from livepeer.runner._server.pool.messages import Hello, Model
from livepeer.runner.errors import (
    AtCapacity,
    PipelineDefinitionError,
    RunnerError,
    SetupFailed,
    StageAway,
)
from livepeer.runner.state import PipelineState
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping

    from livepeer.runner._context import Call
    from livepeer.runner._server.answered import Answered
    from livepeer.runner.settings import Settings

_log = logging.getLogger(__name__)

_WATCH_S: Final = 1.0
_LEAST_GRACE_S: Final = 1.0


class _Slot(Supervisor[Link]):
    """A place for a model process.

    Attributes:
        tried: Done when `setup()` has returned in the first, or raised what it failed with;
            cancelled when nobody waits for that any longer.
        decided: Set when one of several can be used. Until then a failed `setup()` is not tried
            again here, for if it fails in all of them the runner ends.
        used: When a call was given to it last, in calls.
    """

    def __init__(
        self,
        path: str,
        number: int,
        settings: Settings,
        environment: Mapping[str, str],
        report: Callable[[str, float | None], None] | None,
        changed: Callable[[], None],
    ) -> None:
        limit = settings.predict_timeout_s
        self._limit_s = limit + settings.stop_timeout_s if limit else None
        super().__init__(
            setup_timeout_s=settings.setup_timeout_s,
            watch_s=_WATCH_S if self._limit_s is None else min(_WATCH_S, self._limit_s / 8),
            backoff_s=settings.restart_backoff_s,
        )
        self.number = number
        self.used = 0
        self.tried: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.decided = asyncio.Event()
        self._pid: int | None = None
        self._max_body_bytes = settings.max_body_bytes
        self._environment = environment
        self._report = report
        self._changed = changed
        model = Model(path, settings_without_secrets(settings), search_path())
        self._hello = Hello(model.to_json(), number)

    @property
    def label(self) -> str:
        """Which process it is, and its number in the system; of one that is gone, what it was."""
        pid = "" if self._pid is None else f" (pid {self._pid})"
        return f"model process {self.number}{pid}: "

    def report(self) -> WorkerReport:
        """What there is to tell."""
        life, state, message = self.life, self.state, self.message
        if life is not None:
            state = PipelineState.OK if life.wrong is None else PipelineState.ERROR
            message = life.wrong
        elif state is PipelineState.OK:  # for as long as nobody has seen that it is gone
            state = PipelineState.LOADING
        return WorkerReport(
            self.number,
            state,
            message,
            pid=None if life is None else life.pid,
            gpus=self._environment.get(gpus.VARIABLE),
            busy=0 if life is None else life.busy,
            restarts=self.restarts,
        )

    def _make(self) -> Link:
        self._pid = None
        link = Link(
            self._hello,
            self._environment,
            limit_s=self._limit_s,
            max_body_bytes=self._max_body_bytes,
            progress=self._progress,
            changed=self._changed,
        )
        self._pid = link.pid
        return link

    def _progress(self, text: str, fraction: float | None) -> None:
        far = "" if fraction is None else f" ({fraction:.0%})"
        self.message = f"{text}{far}"
        if self._report is not None:
            self._report(f"model process {self.number}: {text}", fraction)

    def _came(self, life: Link) -> None:
        _log.info("model process %d is ready (pid %d)", self.number, life.pid)
        self._changed()
        if not self.tried.done():
            self.tried.set_result(None)

    def _failed(self, error: PipelineDefinitionError | SetupFailed) -> None:
        if not self.tried.done():
            self.tried.set_exception(error)
            self.tried.exception()
            if isinstance(error, PipelineDefinitionError):
                raise error

    async def _pause(self, reason: str, wait_s: float, *, failed: bool) -> None:
        if failed and not self.decided.is_set():
            self.message, self.state = reason, PipelineState.ERROR
            _log.error("%s%s", self.label, reason)
            await self.decided.wait()
        await super()._pause(reason, wait_s, failed=failed)


class PoolCaller:
    """A `Caller` that keeps `workers` model processes alive. Make it on the network's loop.

    Each has an instance of its own and its share of the GPUs. One that ends, hangs past the
    deadline, or runs out of memory is replaced, and the calls in it are answered `StageAway`; the
    others go on.

    Args:
        path: The class, as `PipelineSpec` has it.
        settings: `workers`, `concurrency`, `predict_timeout_s`, `setup_timeout_s`,
            `stop_timeout_s`, `teardown_timeout_s`, `restart_backoff_s` and `max_body_bytes` are
            read here, and all but secrets are handed on.
    """

    def __init__(self, path: str, settings: Settings) -> None:
        self._path = path
        self._settings = settings
        self._slots: list[_Slot] = []
        self._supervisors: list[asyncio.Task[None]] = []
        self._calls = 0
        self._at_work: list[Link] = []
        self._offer: Callable[[int], None] | None = None

    @property
    def state(self) -> PipelineState:
        """OK when a call can be taken; ERROR when `setup()` fails in every process."""
        states = [report.state for report in self.reports()]
        if PipelineState.OK in states:
            return PipelineState.OK
        loading = not states or PipelineState.LOADING in states
        return PipelineState.LOADING if loading else PipelineState.ERROR

    @property
    def message(self) -> str | None:
        """Which processes are not ready, and why; None when all are."""
        reports = self.reports()
        away = [report for report in reports if report.state is not PipelineState.OK]
        if not away:
            return None
        said = "; ".join(f"{report.number}: {report.message or 'loading'}" for report in away)
        return f"{len(reports) - len(away)} of {len(reports)} model processes are ready ({said})"

    def reports(self) -> list[WorkerReport]:
        """What there is to tell of each process."""
        return [slot.report() for slot in self._slots]

    def watch(self, offer: Callable[[int], None]) -> None:
        """Call `offer` with how many calls can run, now and whenever that has changed."""
        self._offer = offer
        self._tell_capacity()

    async def setup(self) -> None:
        """Start all processes, and wait until `setup()` has returned or failed in each.

        Where one can be used, and another takes twice as long as it, that one is not waited for.

        Raises:
            PipelineDefinitionError: The class cannot be loaded.
            SetupFailed: It failed in all of them. Where it did in some, those are tried again.
        """
        settings, setting_up = self._settings, CURRENT.get()
        devices = await asyncio.to_thread(gpus.visible, os.environ)
        self._slots = [
            _Slot(
                self._path,
                number,
                settings,
                gpus.deal(devices, number, settings.workers),
                None if setting_up is None else setting_up.report,
                self._tell_capacity,
            )
            for number in range(settings.workers)
        ]
        self._supervisors = [
            asyncio.create_task(_supervise(slot), name=f"model supervisor {slot.number}")
            for slot in self._slots
        ]
        tried = await _all_in_time([slot.tried for slot in self._slots])
        failures = [slot.exception() for slot in tried]
        for failure in failures:
            if failure is not None and (
                all(failures) or isinstance(failure, PipelineDefinitionError)
            ):
                await cancel_and_wait(*self._supervisors)  # the runner ends
                raise failure
        for slot in self._slots:
            # Others work, so that whatever it fails with is no fault of the class alone, and it is
            # tried again.
            slot.tried.cancel()
            slot.decided.set()

    async def close(self) -> None:
        """Run `teardown()` in each process, and end it."""
        await cancel_and_wait(*self._supervisors)
        lives = [slot.life for slot in self._slots]
        await asyncio.gather(*(self._close(life) for life in lives if life is not None))

    async def call(self, endpoint: int, body: bytes, content_type: str, call: Call) -> Answered:
        """As `Caller.call`, in the process that has the least to do."""
        with self._working() as life:
            return await life.call(endpoint, body, content_type, call)

    async def stream(
        self, endpoint: int, body: bytes, content_type: str, call: Call
    ) -> AsyncGenerator[list[bytes], None]:
        """As `Caller.stream`, in the process that has the least to do."""
        with self._working() as life:
            async with aclosing(life.stream(endpoint, body, content_type, call)) as batches:
                async for batch in batches:
                    yield batch

    @contextmanager
    def _working(self) -> Generator[Link]:
        life = self._least_busy()
        self._at_work.append(life)
        try:
            yield life
        finally:
            self._at_work.remove(life)
            if not _is_ready(life):
                self._tell_capacity()

    def _least_busy(self) -> Link:
        lives = [
            (slot, life)
            for slot in self._slots
            if (life := slot.life) is not None and _is_ready(life)
        ]
        if not lives:
            raise StageAway(self.message or "no model process runs")
        # Of those with the same work the one that has rested longest.
        slot, life = min(lives, key=lambda pair: (pair[1].busy, pair[0].used))
        if life.busy >= self._settings.concurrency:
            raise AtCapacity(self.message or f"busy: {len(lives)} model processes are at work")
        self._calls += 1
        slot.used = self._calls
        return life

    def _tell_capacity(self) -> None:
        if self._offer is None:
            return
        ready = sum(slot.life is not None and _is_ready(slot.life) for slot in self._slots)
        # A call that is still in another one has its place there, and takes it along.
        elsewhere = sum(not _is_ready(life) for life in self._at_work)
        self._offer(ready * self._settings.concurrency + elsewhere)

    async def _close(self, life: Link) -> None:
        life.send(Close())
        try:
            async with asyncio.timeout(self._settings.teardown_timeout_s):
                await asyncio.shield(life.ended)
        except TimeoutError:
            _log.error("teardown() did not return; the model process (pid %d) is ended", life.pid)
            await life.finish("the runner stops")
        finally:
            life.kill("the runner stops")


def _is_ready(life: Link) -> bool:
    return not life.lost and life.wrong is None


async def _all_in_time(tried: list[asyncio.Future[None]]) -> set[asyncio.Future[None]]:
    """Those that have come to an end; where one did well, the others have as long again."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    ended: set[asyncio.Future[None]] = set()
    pending, limit = set(tried), None
    while pending:
        now, pending = await asyncio.wait(pending, timeout=limit, return_when="FIRST_COMPLETED")
        ended |= now
        if not now:
            _log.warning(
                "setup() is no longer waited for in %d of the model processes", len(pending)
            )
            break
        if limit is None and any(future.exception() is None for future in now):
            limit = max(_LEAST_GRACE_S, loop.time() - began)
    return ended


async def _supervise(slot: _Slot) -> None:
    try:
        await slot.run()
    except RunnerError:
        return  # told by `tried`
    finally:
        if not slot.tried.done():
            slot.tried.set_exception(SetupFailed("the runner stops"))
            slot.tried.exception()
