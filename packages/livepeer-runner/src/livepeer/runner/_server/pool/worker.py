"""A model process of a batch pipeline: `python -m livepeer.runner._server.pool.worker`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NoReturn

from livepeer.runner import _logs, _models
from livepeer.runner._context import CURRENT, Call
from livepeer.runner._isolation.channel import Channel
from livepeer.runner._isolation.child import BROKEN, connect, end_group, tell_failure
from livepeer.runner._isolation.faults import breaks_device, sendable
from livepeer.runner._isolation.messages import Close
from livepeer.runner._schema.signature import contracts_of
from livepeer.runner._server.checkup import Checkup, checkup_of
from livepeer.runner._server.memory import MemoryWatch, is_out_of_memory
from livepeer.runner._server.pool.faults import to_fault
from livepeer.runner._server.pool.messages import (
    CODEC,
    Ask,
    Cancel,
    End,
    Health,
    Hello,
    Items,
    Message,
    Model,
    More,
    Progress,
    Ready,
    max_message_bytes,
)
from livepeer.runner._server.raised import as_error
from livepeer.runner._server.threads import ThreadCaller
from livepeer.runner._target import load_pipeline, pipeline_class, prepares_models
from livepeer.runner.batch import Pipeline
from livepeer.runner.errors import (
    InvalidResult,
    OutOfMemory,
    PipelineDefinitionError,
    RunnerError,
    StageAway,
    describe,
)
from livepeer.runner.settings import Settings
from livepeer.runner.spec import PipelineSpec
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livepeer.runner._server.answered import Answered
    from livepeer.runner._server.caller import Caller

_log = logging.getLogger("livepeer.runner._server.pool.worker")  # by its name it is `__main__`

_FLUSH_S: Final = 1.0
_ROOM: Final = 64 * 1024
_BATCH_BYTES: Final = 1024 * 1024


class _Running:
    """A call that runs here.

    Attributes:
        call: What the author's code can ask.
        room: How many items may go out before the front has taken some; less than 0 after a batch.
        more: Set when that has changed.
        task: Runs it.
    """

    def __init__(self, ask: Ask) -> None:
        self.call = Call(ask.request_id)
        self.room = ask.window
        self.more = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def allow(self, count: int) -> None:
        """The front has taken so many."""
        self.room += count
        self.more.set()

    async def has_room(self) -> None:
        """Wait until an item may go out."""
        while self.room <= 0:
            self.more.clear()
            await self.more.wait()


class PoolWorker:
    """Runs calls as the front tells.

    Args:
        channel: To the front.
        caller: Runs the author's code in this process.
        settings: The runner's, without its secrets.
        checkup: Asks the author whether the model is well.
        number: Which of the processes this is.
    """

    def __init__(
        self,
        channel: Channel[Message],
        caller: Caller,
        settings: Settings,
        checkup: Checkup | None,
        number: int,
    ) -> None:
        self._number = number
        self._channel = channel
        self._caller = caller
        self._max_answer = channel.max_message_bytes - _ROOM
        self._stop_timeout_s = _halved(settings).stop_timeout_s
        self._memory = MemoryWatch(settings.out_of_memory_limit)
        self._spoilt = False
        self._checkup = checkup
        self._healthcheck_interval_s = settings.healthcheck_interval_s
        self._running: dict[int, _Running] = {}

    async def run(self) -> bool:
        """Until the front says that it is over; False when `setup()` failed."""
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        threading.Thread(target=self._receive, name="front messages", daemon=True).start()
        CURRENT.set(Call(report=self._progress))
        try:
            await self._caller.setup()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the author's hook: told to the front
            _log.error("setup() failed in model process %d", self._number, exc_info=error)
            tell_failure(self._channel, f"setup() raised {describe(error)}")
            return False
        asking = asyncio.create_task(self._ask_for_health(), name="healthcheck")
        self._channel.send(Ready())
        await self._closing.wait()
        await cancel_and_wait(asking)
        await self._cancel_all()
        await self._caller.close()
        return True

    async def _ask_for_health(self) -> None:
        told = None
        while self._checkup is not None:
            await self._checkup.look()
            if self._checkup.message != told:
                told = self._checkup.message
                self._channel.send(Health(None if told is None else sendable(told)))
            await asyncio.sleep(self._healthcheck_interval_s)

    async def _cancel_all(self) -> None:
        """What still runs had its time before the front said that it is over."""
        tasks = [running.task for running in self._running.values() if running.task is not None]
        for running in self._running.values():
            running.call.cancel()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._stop_timeout_s)

    def _progress(self, text: str, fraction: float | None) -> None:
        self._channel.send(Progress(sendable(text), fraction))

    def _receive(self) -> None:
        try:
            while (message := self._channel.receive()) is not None:
                if isinstance(message, Cancel):
                    running = self._running.get(message.call)
                    # At once, for the loop may be kept by the very call.
                    if running is not None:
                        running.call.cancel()
                self._loop.call_soon_threadsafe(self._control, message)
        except BaseException as error:  # noqa: BLE001 - a supervisor: nobody else would notice
            _log.critical("model process %d lost its front", self._number, exc_info=error)
        end_group()  # nobody is left to work for

    def _control(self, message: Message) -> None:
        match message:
            case Ask(number):
                begun = self._running[number] = _Running(message)
                begun.task = asyncio.create_task(self._answer(message, begun))
            case More(number, count):
                if (running := self._running.get(number)) is not None:
                    running.allow(count)
            case Cancel(number):
                if (running := self._running.get(number)) is not None and running.task:
                    running.call.cancel()
                    running.task.cancel()
            case Close():
                self._closing.set()
            case _:
                _log.error("the front sent a %s", type(message).__name__)

    async def _answer(self, ask: Ask, running: _Running) -> None:
        """Run a call, and tell its end whatever it does: the front waits."""
        CURRENT.set(running.call)
        answered: Answered | None = None
        failure: Exception | None = None
        try:
            if ask.window:
                await self._give(ask, running)
            else:
                answered = await self._call(ask, running.call)
            self._memory.sufficed()
        except asyncio.CancelledError:
            answered = None  # nobody waits for it
        except Exception as error:  # noqa: BLE001 - the author's hook: told to the front
            failure = self._judged(error)
        except BaseException as error:  # noqa: BLE001 - as above; others end no process
            failure = as_error(error)
        self._running.pop(ask.call, None)
        fault = None if failure is None else to_fault(failure)
        body, media_type = answered or (None, "")
        try:
            await self._tell(End(ask.call, body, media_type, fault))
        except ValueError as error:  # half a character in what the author says of an answer
            unsent = InvalidResult(f"the answer cannot be sent: {error}")
            await self._tell(End(ask.call, None, "", to_fault(unsent)))
        if self._spoilt or self._memory.message is not None:
            self._give_up(str(failure))

    async def _tell(self, message: Items | End) -> None:
        """Send what must not be lost, when there is room for it."""
        while not self._channel.send(message) and not self._channel.ended:
            await asyncio.to_thread(self._channel.flush, _FLUSH_S)

    def _judged(self, error: Exception) -> Exception:
        """What the caller is told of an exception: a GPU without memory, or broken, is no 500."""
        out_of_memory = is_out_of_memory(error)
        if not out_of_memory and breaks_device(error):
            self._spoilt = True
        if _is_answer(error):
            return error
        if out_of_memory:
            self._memory.ran_out()
            judged: Exception = OutOfMemory(describe(error))
        elif self._spoilt:
            judged = StageAway(f"the model cannot go on: {describe(error)}")
        else:
            return error
        _log.error("%s", judged, exc_info=error)
        judged.__cause__ = error
        return judged

    async def _call(self, ask: Ask, call: Call) -> Answered:
        answered = await self._caller.call(ask.endpoint, ask.body, ask.content_type, call)
        self._check(answered.body)
        return answered

    async def _give(self, ask: Ask, running: _Running) -> None:
        stream = self._caller.stream(ask.endpoint, ask.body, ask.content_type, running.call)
        async with aclosing(stream) as batches:
            async for batch in batches:
                for part in self._parts(batch):
                    await running.has_room()
                    running.room -= len(part)
                    await self._tell(Items(ask.call, part))

    def _parts(self, batch: list[bytes]) -> Iterator[list[bytes]]:
        """A batch as messages that are not too large."""
        part: list[bytes] = []
        size = 0
        for item in batch:
            self._check(item)
            if part and size + len(item) > _BATCH_BYTES:
                yield part
                part, size = [], 0
            part.append(item)
            size += len(item)
        yield part

    def _check(self, answer: bytes) -> None:
        if len(answer) > self._max_answer:
            raise InvalidResult(
                f"the answer has {len(answer)} bytes, and from a model process it may have"
                f" {self._max_answer}: make it smaller, or run with one worker"
            )

    def _give_up(self, why: str) -> NoReturn:
        """End the process when nothing that runs in it can be relied on any more."""
        _log.critical("model process %d cannot go on and ends: %s", self._number, why)
        tell_failure(self._channel, why)
        os._exit(BROKEN)


def main(arguments: list[str]) -> int:
    """Serve the front whose socket is named by file descriptor."""
    socket_fd, parent = map(int, arguments)
    front = connect(socket_fd, (), parent)
    channel = Channel(front, CODEC)
    hello = channel.receive()
    if not isinstance(hello, Hello):
        return BROKEN
    model = Model.from_json(hello.model)
    sys.path[:] = model.path
    settings = Settings.model_validate(model.settings)
    channel.max_message_bytes = max_message_bytes(settings.max_body_bytes)
    _logs.configure(settings)
    try:
        pipeline = _load(model.pipeline_cls)
        caller = ThreadCaller(pipeline, contracts_of(pipeline), _halved(settings))
    except PipelineDefinitionError as error:
        tell_failure(channel, str(error), definition=True)
        return 1
    checkup = checkup_of(pipeline, settings)
    worker = PoolWorker(channel, caller, settings, checkup, hello.number)
    return 0 if asyncio.run(worker.run()) else 1


def _load(path: str) -> Pipeline:
    """An instance of the class.

    Raises:
        PipelineDefinitionError: It cannot be loaded or made.
    """
    spec = PipelineSpec("pipeline", path)
    # Before there is an instance, whose constructor may load a model.
    if prepares_models(pipeline_class(spec.load())):
        _models.go_offline()
    pipeline = load_pipeline(spec)
    if not isinstance(pipeline, Pipeline):
        raise PipelineDefinitionError(f"{path} is no Pipeline")
    if pipeline.router is not type(pipeline).router:
        raise PipelineDefinitionError(
            f"{type(pipeline).__name__}() makes a router of its own, which nothing would call: with"
            " `workers` above 1 the process that speaks HTTP has no instance; set `router` in the"
            " class, or leave `workers` at 1"
        )
    return pipeline


def _halved(settings: Settings) -> Settings:
    """With half of the time to stop: calls are cancelled first, and then threads are waited for."""
    return settings.model_copy(update={"stop_timeout_s": settings.stop_timeout_s / 2})


def _is_answer(error: Exception) -> bool:
    """Whether the author, or we, have said what the caller is to be told."""
    return isinstance(error, RunnerError) or any(
        (cls.__module__, cls.__name__) == ("starlette.exceptions", "HTTPException")
        for cls in type(error).__mro__
    )


def _exit() -> NoReturn:
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    _exit()
