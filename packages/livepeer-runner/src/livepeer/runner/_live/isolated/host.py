"""The model process of a runner, and the one after it."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from typing import TYPE_CHECKING, Final

from livepeer.runner._live.isolated.backoff import Backoff
from livepeer.runner._live.isolated.link import Link
from livepeer.runner._live.isolated.messages import (
    Close,
    Hello,
    Model,
    Release,
    search_path,
)
from livepeer.runner._live.isolated.secrets import settings_without_secrets
from livepeer.runner._live.isolated.stage import IsolatedStage
from livepeer.runner.errors import (
    PipelineDefinitionError,
    RunnerError,
    SetupFailed,
    StageAway,
)
from livepeer.runner.state import PipelineState
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pydantic import JsonValue

    from livepeer.runner._stream import Stream
    from livepeer.runner.settings import Settings
    from livepeer.runner.spec import PipelineSpec
    from livepeer.trickle.media import Kind

_log = logging.getLogger(__name__)

_EXIT_S: Final = 2.0
_SLOTS: Final = 32
_SLOTS_PER_SESSION: Final = 96
_MAX_SLOTS: Final = 1024


class IsolatedHost:
    """Keeps a model process alive, and the sessions' hooks in it.

    A process that ends, hangs or runs out of memory is replaced: `setup()` runs in a new one, then
    `on_stream_start` of every session with its parameters, and frames flow again.

    Args:
        spec: How the model process imports the pipeline.
        settings: `hook_timeout_s`, `setup_timeout_s`, `restart_backoff_s`, `stop_timeout_s`,
            `hook_start_timeout_s` and `capability_capacity` are read here, and all but secrets
            are handed on.
        restarted: Called with each process that follows another.

    Attributes:
        restarts: How many processes followed another.
    """

    def __init__(
        self,
        spec: PipelineSpec,
        settings: Settings,
        restarted: Callable[[], None] | None = None,
    ) -> None:
        self.restarts = 0
        self._spec = spec
        self._settings = settings
        self._restarted = restarted
        self._state = PipelineState.LOADING
        self._message: str | None = None
        self._link: Link | None = None
        self._kinds: frozenset[Kind] = frozenset()
        self._frames_in_flight = 1
        self._stages: dict[int, IsolatedStage] = {}
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def state(self) -> PipelineState:
        """OK when hooks can be called; LOADING, also after a crash; ERROR when `setup()` fails."""
        return self._state

    @property
    def message(self) -> str | None:
        """What happened to the last process, and when there is another."""
        return self._message

    @property
    def kinds(self) -> frozenset[Kind]:
        """What the author processes."""
        return self._kinds

    @property
    def frames_in_flight(self) -> int:
        """How many answers of a session may be open at a time."""
        return self._frames_in_flight

    @property
    def link(self) -> Link | None:
        """The process that can be used now."""
        return None if self._link is None or self._link.lost else self._link

    @property
    def pid(self) -> int | None:
        """The number of the process that can be used now."""
        return None if self.link is None else self.link.pid

    async def setup(self) -> None:
        """Start a process and wait until `setup()` has returned in one, however often it takes.

        Raises:
            PipelineDefinitionError: The class cannot be loaded, or `initial_params` are not JSON;
                the text names the mend.
        """
        hello = self._hello()
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        supervising = self._supervise(hello, ready)
        self._supervisor = asyncio.create_task(supervising, name="model supervisor")
        # A supervisor that fails ends the wait, too.
        await asyncio.wait((ready, self._supervisor), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await self._supervisor
        ready.result()

    async def close(self) -> None:
        """Run `teardown()`, and end the process."""
        await cancel_and_wait(self._supervisor, *self._tasks)
        link = self._link
        if link is None:
            return
        link.send(Close())
        try:
            async with asyncio.timeout(self._settings.stop_timeout_s + _EXIT_S):
                await asyncio.shield(link.ended)
        except TimeoutError:
            _log.error("teardown() did not return; the model process is ended")
            await link.finish("the runner stops")
        self._link = None

    def stage(self, stream: Stream) -> IsolatedStage:
        """The hooks for one session; after `setup()`."""
        stage = IsolatedStage(self, next(self._numbers), stream)
        self._stages[stage.number] = stage
        return stage

    def forget(self, number: int) -> None:
        """A session is over."""
        self._stages.pop(number, None)

    async def _supervise(self, hello: Hello, ready: asyncio.Future[None]) -> None:
        backoff = Backoff(self._settings.restart_backoff_s)
        for attempt in itertools.count():
            if attempt:
                self.restarts += 1
                if self._restarted is not None:
                    self._restarted()
            worked_s: float | None = None
            try:
                link = await self._open(hello)
            except PipelineDefinitionError as error:
                reason = str(error)
                if not ready.done():
                    ready.set_exception(error)
                    return
            except SetupFailed as error:
                reason = str(error)
            else:
                if not ready.done():
                    ready.set_result(None)
                began = time.monotonic()
                reason = await self._watch(link)
                worked_s = time.monotonic() - began
            await self._pause(reason, backoff.next(worked_s), failed=worked_s is None)

    async def _open(self, hello: Hello) -> Link:
        """A process in which `setup()` has returned.

        Raises:
            SetupFailed: It did not.
            PipelineDefinitionError: There is nothing to set up.
        """
        limit = self._settings.setup_timeout_s
        try:
            link = Link(hello, self._stream, self._settings.hook_timeout_s)
        except OSError as error:
            raise SetupFailed(f"no process can be started: {error}") from error
        try:
            async with asyncio.timeout(limit):
                opened = await asyncio.shield(link.opened)
        except BaseException as error:
            await link.finish("the runner stops")
            if isinstance(error, TimeoutError):
                raise SetupFailed(f"setup() took longer than {limit:g} s") from None
            raise
        self._kinds, self._frames_in_flight = _kinds(opened.kinds), opened.frames_in_flight
        self._link, self._state, self._message = link, PipelineState.OK, None
        for stage in self._stages.values():
            if stage.wants_restart:
                self._spawn(self._restart(stage, link))
        return link

    async def _watch(self, link: Link) -> str:
        """Until the process is gone; why."""
        limit = self._settings.hook_timeout_s
        while not link.ended.done():
            await asyncio.wait((link.ended,), timeout=min(1.0, limit / 8))
            if link.lost:
                return await link.finish("the model process is gone")
            if link.hang is not None:
                return await link.finish(link.hang)
        return link.ended.result()

    async def _pause(self, reason: str, wait_s: float, *, failed: bool) -> None:
        """What there is to tell, and the wait before the next process."""
        self._link = None
        when = f"in {wait_s:g} s" if wait_s else "now"
        self._message = f"{reason}; it is started anew {when}"
        # A crash is mended by the next setup(); a setup() that fails needs a person.
        self._state = PipelineState.ERROR if failed else PipelineState.LOADING
        _log.error("%s", self._message)
        for stage in list(self._stages.values()):
            if stage.wants_restart:
                stage.stream.report(self._message)
        await asyncio.sleep(wait_s)

    async def _restart(self, stage: IsolatedStage, link: Link) -> None:
        """Start a session in a new process; again and again, for it goes on publishing."""
        backoff = Backoff(self._settings.restart_backoff_s)
        limit = self._settings.hook_start_timeout_s
        while stage.wants_restart and not link.lost:
            try:
                async with asyncio.timeout(limit):
                    await stage.restart(link)
                return
            except StageAway:
                return
            except (RunnerError, TimeoutError) as error:
                text = str(error) or f"on_stream_start() took longer than {limit:g} s"
                _log.error("stream %s is not restarted: %s", stage.stream.id, text)
                stage.stream.report(text)
                link.send(Release(stage.number))
            await asyncio.sleep(backoff.next(None))

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stream(self, number: int) -> Stream | None:
        stage = self._stages.get(number)
        return None if stage is None else stage.stream

    def _hello(self) -> Hello:
        spec, settings = self._spec, self._settings
        model = Model(
            spec.name,
            spec.pipeline_cls,
            spec.params_cls,
            {name: _plain(name, value) for name, value in spec.initial_params.items()},
            settings_without_secrets(settings),
            search_path(),
        )
        slots = min(_SLOTS + _SLOTS_PER_SESSION * settings.capability_capacity, _MAX_SLOTS)
        return Hello(slots, model.to_json())


def _kinds(names: list[str]) -> frozenset[Kind]:
    known: tuple[Kind, Kind] = ("video", "audio")
    return frozenset(kind for kind in known if kind in names)


def _plain(name: str, value: object) -> JsonValue:
    """A value as JSON has it.

    Raises:
        PipelineDefinitionError: JSON has it not.
    """
    try:
        plain: JsonValue = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise PipelineDefinitionError(
            f"initial_params[{name!r}] is not JSON: {error}; write it as a string, a number, a list"
            " or a mapping"
        ) from error
    return plain
