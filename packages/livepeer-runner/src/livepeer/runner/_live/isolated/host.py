"""The model process of a runner, and the one after it."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from typing import TYPE_CHECKING, Final

from livepeer.runner._isolation.backoff import Backoff
from livepeer.runner._isolation.faults import search_path
from livepeer.runner._isolation.messages import Close
from livepeer.runner._isolation.secrets import settings_without_secrets
from livepeer.runner._isolation.supervisor import Supervisor
from livepeer.runner._live.isolated.link import Link
from livepeer.runner._live.isolated.messages import (
    Hello,
    Model,
    Release,
)
from livepeer.runner._live.isolated.stage import IsolatedStage
from livepeer.runner.errors import (
    PipelineDefinitionError,
    RunnerError,
    StageAway,
)
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pydantic import JsonValue

    from livepeer.runner._stream import Stream
    from livepeer.runner.errors import SetupFailed
    from livepeer.runner.settings import Settings
    from livepeer.runner.spec import PipelineSpec
    from livepeer.trickle.media import Kind

_log = logging.getLogger(__name__)

_EXIT_S: Final = 2.0
_SLOTS: Final = 32
_SLOTS_PER_SESSION: Final = 96
_MAX_SLOTS: Final = 1024


class IsolatedHost(Supervisor[Link]):
    """Keeps a model process alive, and the sessions' hooks in it.

    A process that ends, hangs or runs out of memory is replaced: `setup()` runs in a new one, then
    `on_stream_start` of every session with its parameters, and frames flow again.

    Args:
        spec: How the model process imports the pipeline.
        settings: `hook_timeout_s`, `setup_timeout_s`, `restart_backoff_s`, `stop_timeout_s`,
            `hook_start_timeout_s` and `capability_capacity` are read here, and all but secrets
            are handed on.
        restarted: Called with each process that follows another.
    """

    def __init__(
        self,
        spec: PipelineSpec,
        settings: Settings,
        restarted: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(
            setup_timeout_s=settings.setup_timeout_s,
            watch_s=min(1.0, settings.hook_timeout_s / 8),
            backoff_s=settings.restart_backoff_s,
        )
        self._spec = spec
        self._settings = settings
        self._restarted = restarted
        self._kinds: frozenset[Kind] = frozenset()
        self._frames_in_flight = 1
        self._stages: dict[int, IsolatedStage] = {}
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._supervisor: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None]
        self._hello: Hello

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
        return self.life

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
        self._hello = self._first_words()
        ready = self._ready = asyncio.get_running_loop().create_future()
        self._supervisor = asyncio.create_task(self.run(), name="model supervisor")
        # A supervisor that fails ends the wait, too.
        await asyncio.wait((ready, self._supervisor), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await self._supervisor
        ready.result()

    async def close(self) -> None:
        """Run `teardown()`, and end the process."""
        await cancel_and_wait(self._supervisor, *self._tasks)
        link = self._life
        if link is None:
            return
        link.send(Close())
        try:
            async with asyncio.timeout(self._settings.stop_timeout_s + _EXIT_S):
                await asyncio.shield(link.ended)
        except TimeoutError:
            _log.error("teardown() did not return; the model process is ended")
            await link.finish("the runner stops")
        self._life = None

    def stage(self, stream: Stream) -> IsolatedStage:
        """The hooks for one session; after `setup()`."""
        stage = IsolatedStage(self, next(self._numbers), stream)
        self._stages[stage.number] = stage
        return stage

    def forget(self, number: int) -> None:
        """A session is over."""
        self._stages.pop(number, None)

    def _make(self) -> Link:
        return Link(self._hello, self._stream, self._settings.hook_timeout_s)

    def _came(self, life: Link) -> None:
        opened = life.opened.result()
        self._kinds, self._frames_in_flight = _kinds(opened.kinds), opened.frames_in_flight
        for stage in self._stages.values():
            if stage.wants_restart:
                self._spawn(self._restart(stage, life))
        if not self._ready.done():
            self._ready.set_result(None)

    def _failed(self, error: PipelineDefinitionError | SetupFailed) -> None:
        if isinstance(error, PipelineDefinitionError) and not self._ready.done():
            self._ready.set_exception(error)
            raise error

    def _went(self, message: str) -> None:
        for stage in list(self._stages.values()):
            if stage.wants_restart:
                stage.stream.report(message)

    def _restarting(self) -> None:
        if self._restarted is not None:
            self._restarted()

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

    def _first_words(self) -> Hello:
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
