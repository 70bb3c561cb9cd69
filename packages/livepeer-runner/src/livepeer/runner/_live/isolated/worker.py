"""The model process: `python -m livepeer.runner._live.isolated.worker`, started by a runner."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from livepeer.runner import _allocator, _logs, _models
from livepeer.runner._isolation.channel import Channel
from livepeer.runner._isolation.child import BROKEN, connect, end_group, tell_failure
from livepeer.runner._isolation.faults import is_fatal
from livepeer.runner._isolation.messages import Close
from livepeer.runner._live.author import HookRaised
from livepeer.runner._live.in_process import InProcessHost, processed_kinds
from livepeer.runner._live.isolated.arena import Arena
from livepeer.runner._live.isolated.messages import (
    CODEC,
    Ask,
    Began,
    Hello,
    Interrupt,
    Message,
    Model,
    Ready,
    Release,
    Reply,
    Start,
    Stop,
    Update,
    as_runner_error,
    to_fault,
)
from livepeer.runner._live.isolated.remote import RemoteSession
from livepeer.runner._target import load_pipeline, pipeline_class, prepares_models
from livepeer.runner.errors import PipelineDefinitionError, RunnerError, describe
from livepeer.runner.live import LivePipeline
from livepeer.runner.settings import Settings
from livepeer.runner.spec import PipelineSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)


class _Host(InProcessHost):
    def call_when_free(self, callback: Callable[[], object]) -> None:
        """Call on the author's thread, when those hooks have returned that hold it."""
        assert self._author is not None
        self._author.submit(None, callback)


class ModelWorker:
    """Runs the hooks of all sessions, as messages tell.

    Args:
        channel: To the runner.
        inbound: Where frames come in.
        outbound: Where results go.
        pipeline: The author's instance.
        settings: The runner's, without its secrets.
        defaults: Initial parameters of each stream.
    """

    def __init__(
        self,
        channel: Channel[Message],
        inbound: Arena,
        outbound: Arena,
        pipeline: LivePipeline,
        settings: Settings,
        defaults: Mapping[str, object],
    ) -> None:
        self._channel = channel
        self._inbound = inbound
        self._outbound = outbound
        self._pipeline = pipeline
        self._host = _Host(pipeline, settings, defaults)  # type: ignore[arg-type]
        self._sessions: dict[int, RemoteSession] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> bool:
        """Until the runner says that it is over; False when `setup()` failed."""
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        threading.Thread(target=self._receive, name="runner messages", daemon=True).start()
        try:
            await self._host.setup()
        except Exception as error:  # noqa: BLE001 - the author's hook: told to the runner
            _log.error("setup() failed", exc_info=error)
            raised = error.error if isinstance(error, HookRaised) else error
            tell_failure(self._channel, f"setup() raised {describe(raised)}")
            return False
        _allocator.give_back()
        kinds = sorted(processed_kinds(self._pipeline))
        self._channel.send(Ready(list(kinds), max(1, self._pipeline.frames_in_flight)))
        await self._closing.wait()
        await self._host.close()
        return True

    def _receive(self) -> None:
        try:
            while (message := self._channel.receive()) is not None:
                self._take(message)
        except BaseException as error:  # noqa: BLE001 - a supervisor: nobody else would notice
            _log.critical("the model process lost its runner", exc_info=error)
        end_group()  # nobody is left to work for

    def _take(self, message: Message) -> None:
        """A message, on the thread that receives: frames go to their hooks from here."""
        match message:
            case Ask():
                session = self._sessions.get(message.stage)
                if session is not None:
                    session.ask(message)
                else:
                    self._inbound.adopt(message.placed.slot)  # and let go of it
            case Interrupt():
                session = self._sessions.get(message.stage)
                if session is not None:
                    session.stage.interrupt()
            case _:
                self._loop.call_soon_threadsafe(self._control, message)

    def _control(self, message: Message) -> None:
        match message:
            case Start() | Update() | Stop():
                task = asyncio.create_task(self._answer(message))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case Release(stage):
                session = self._sessions.pop(stage, None)
                if session is not None:
                    session.release()
                    if not self._sessions:
                        _allocator.give_back()
            case Close():
                self._closing.set()
            case _:
                _log.error("the runner sent a %s", type(message).__name__)

    async def _answer(self, message: Start | Update | Stop) -> None:
        """Run the hook, and reply whatever it does: the runner waits."""
        fault = None
        number = message.request
        self._host.call_when_free(lambda: self._channel.send(Began(number)))
        try:
            await self._run(message)
        except BaseException as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            failed = as_runner_error(error)
            self._failed(failed)
            fault = to_fault(failed)
        self._channel.send(Reply(number, fault))

    async def _run(self, message: Start | Update | Stop) -> None:
        session = self._sessions.get(message.stage)
        match message:
            case Start():
                session = RemoteSession(
                    message.stage,
                    message.stream_id,
                    self._host,
                    self._channel,
                    self._inbound,
                    self._outbound,
                    self._failed,
                )
                self._sessions[message.stage] = session
                with _logs.logged_as(message.stream_id):
                    await session.stage.start(json.loads(message.params))
            case Update():
                if session is not None:
                    await session.stage.update(json.loads(message.params))
            case Stop():
                if session is not None:
                    await session.stage.stop()

    def _failed(self, error: RunnerError) -> None:
        """End the process when nothing that runs in it can be relied on any more."""
        if is_fatal(error):
            _log.critical("the model process cannot go on and ends", exc_info=error)
            tell_failure(self._channel, f"the model cannot go on: {error}")
            os._exit(BROKEN)


def main(arguments: list[str]) -> int:
    """Serve the runner whose socket and memory are named by file descriptor."""
    _allocator.configure()
    socket_fd, there_fd, back_fd, parent = map(int, arguments)
    channel = Channel(connect(socket_fd, (there_fd, back_fd), parent), CODEC)
    hello = channel.receive()
    if not isinstance(hello, Hello):
        return BROKEN
    inbound, outbound = Arena(there_fd, hello.slots), Arena(back_fd, hello.slots)
    os.close(there_fd)
    os.close(back_fd)
    model = Model.from_json(hello.model)
    sys.path[:] = model.path
    settings = Settings.model_validate(model.settings)
    _logs.configure(settings)
    try:
        spec = PipelineSpec(model.name, model.pipeline_cls, model.params_cls, model.initial_params)
        # Before there is an instance, whose constructor may load a model.
        if prepares_models(pipeline_class(spec.load())):
            _models.go_offline()
        pipeline = load_pipeline(spec)
        if not isinstance(pipeline, LivePipeline):
            raise PipelineDefinitionError(
                f"{model.pipeline_cls} is a batch Pipeline, and what is served by its name alone is"
                " a live one: hand over the class, or set LIVEPEER_ISOLATION=thread"
            )
    except PipelineDefinitionError as error:
        tell_failure(channel, str(error), definition=True)
        return 1
    worker = ModelWorker(channel, inbound, outbound, pipeline, settings, model.initial_params)
    return 0 if asyncio.run(worker.run()) else 1


def _exit() -> NoReturn:
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    _exit()
