"""Run an application with uvicorn, started, stopped and watched in our order."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import uvicorn
from uvicorn.loops.auto import auto_loop_factory

from livepeer.runner._server.address import bind, url_of, where
from livepeer.runner._server.app import build_app
from livepeer.runner._server.connection import Config
from livepeer.runner._server.edge import Edge
from livepeer.runner._server.lifecycle import Lifecycle
from livepeer.runner._server.signals import stop_signals
from livepeer.runner._server.traffic import Traffic
from livepeer.runner.errors import SetupFailed
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator, Callable, Generator

    from fastapi import FastAPI

    from livepeer.runner._target import Servable, ServeTarget
    from livepeer.runner.settings import Settings


_log = logging.getLogger(__name__)

_TICK_S: Final = 1.0


class RunningServer:
    """A server that listens.

    Attributes:
        url: Its base URL, without a trailing slash; the loopback address when it listens on all.
        name: What is served.
        host: The address that it listens on.
        port: The port.
    """

    def __init__(
        self, host: str, port: int, name: str, lifecycle: Lifecycle, traffic: Traffic
    ) -> None:
        self.url = url_of(host, port)
        self.name = name
        self.host, self.port = host, port
        self._lifecycle = lifecycle
        self._traffic = traffic

    @property
    def in_flight(self) -> int:
        """How many requests are worked on now."""
        return self._traffic.in_flight

    async def wait_ready(self) -> None:
        """Wait until `setup()` has finished; raises `SetupFailed` when it failed."""
        await self._lifecycle.wait_ready()

    async def wait_registered(self) -> None:
        """Wait for the registration, if there is to be one; raises `RegistrationError`."""
        await self._lifecycle.wait_registered()

    def forget_token(self) -> None:
        """Take away the file with the registration's token, if there is one."""
        self._lifecycle.registration.forget_token()

    async def wait_over(self) -> None:
        """Wait until the server is of no more use, because `setup()` failed."""
        await self._lifecycle.over.wait()


class _Server(uvicorn.Server):
    """Uvicorn's server, which tells when it listens and leaves the signals alone.

    Args:
        config: As uvicorn's.
        looks: Called once a second.
    """

    def __init__(self, config: uvicorn.Config, looks: Callable[[], None]) -> None:
        super().__init__(config)
        self._looks = looks
        self.listening = asyncio.Event()
        self._woken = asyncio.Event()

    def stop(self, drain_s: float) -> None:
        """End it, as soon as running requests have finished.

        Args:
            drain_s: How long they may take; then they are cancelled.
        """
        # Whole seconds are uvicorn's word for it, but it only waits for so long.
        self.config.timeout_graceful_shutdown = drain_s  # type: ignore[assignment]
        self.should_exit = True
        self._woken.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        # Uvicorn's own looks ten times a second whether it is to end. The date in its answers needs
        # one look, and each costs a runner that waits as much as half a picture that is relayed.
        loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            self._looks()
            timer = loop.call_later(_TICK_S, self._woken.set)
            await self._woken.wait()
            self._woken.clear()
            timer.cancel()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def running(
    pipeline: Servable | ServeTarget, settings: Settings, sock: socket.socket | None = None
) -> AsyncGenerator[RunningServer, None]:
    """Serve a pipeline in the running loop for as long as the context lasts.

    The context begins when the server listens, while `setup()` may still run. At its end the
    registration is withdrawn first; running requests get `drain_timeout_s` to finish, while the
    server listens on and answers 503 to new ones; then the pipeline is torn down. No signal handler
    is installed.

    Raises:
        PipelineDefinitionError: The pipeline cannot be served as it is written.
        PortInUse: The address of the settings is taken (only when `sock` is not given).
        SettingsError: It is none of this machine's (likewise).
    """
    if sock is None:
        sock = bind(settings.host, settings.port)
    try:
        host, port = sock.getsockname()[:2]
        # The registration names the port that was in fact taken.
        settings = settings.model_copy(update={"port": port})
        app = build_app(pipeline, settings)
        lifecycle: object = app.state.lifecycle
        traffic: object = app.state.traffic
        assert isinstance(lifecycle, Lifecycle)
        assert isinstance(traffic, Traffic)
        server = _Server(_config(app, settings), lifecycle.look)
        task = asyncio.create_task(server.serve(sockets=[sock]), name="runner-http")
        drain_s = float(settings.drain_timeout_s)
        try:
            await _listening(server, task)
            try:
                yield RunningServer(host, port, app.title, lifecycle, traffic)
            finally:
                await lifecycle.drain()
                drain_s -= await _quiet(traffic, drain_s)
        finally:
            server.stop(drain_s)
            await task
    finally:
        sock.close()


async def serve_until_stopped(
    pipeline: Servable | ServeTarget, settings: Settings, sock: socket.socket
) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        SetupFailed: `setup()` raised; it was logged, and `/health` has shown it for a while.
    """
    # The handlers come first, so that a signal is never lost, however early it comes.
    ended_at_once = _AtOnce()
    with stop_signals(ended_at_once) as stopped:
        async with running(pipeline, settings, sock) as server:
            ended_at_once.server = server
            _log.info("serving %s at %s", server.name, where(server.host, server.port))
            stop = asyncio.create_task(stopped.wait())
            over = asyncio.create_task(server.wait_over())
            ready = asyncio.create_task(_tell_ready(server))
            try:
                await asyncio.wait({stop, over}, return_when=asyncio.FIRST_COMPLETED)
                if over.done():
                    raise SetupFailed("setup() raised")
                _tell_stopping(server.in_flight)
            finally:
                await cancel_and_wait(stop, over, ready)
        await _leave_what_does_not_end(settings.stop_timeout_s)


async def _tell_ready(server: RunningServer) -> None:
    with suppress(SetupFailed):  # which is told where it happened
        await server.wait_ready()
        _log.info("%s is ready", server.name)


def _tell_stopping(in_flight: int) -> None:
    first = f"; {_counted(in_flight, 'is', 'are')} finished first" if in_flight else ""
    _log.info("stopping%s", first)


def _counted(calls: int, one: str, many: str) -> str:
    """So many calls, with the verb that goes with them."""
    return f"1 call {one}" if calls == 1 else f"{calls} calls {many}"


async def _leave_what_does_not_end(timeout_s: float) -> None:
    """End the process if tasks remain; the loop would wait for them, however long they take."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        _, left = await asyncio.wait(left, timeout=timeout_s)
    if left:
        _log.warning(
            "the process ends without %s", _counted(len(left), "that does not", "that do not")
        )
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


class _AtOnce:
    """What is cleared when there is no time to end in good order."""

    def __init__(self) -> None:
        self.server: RunningServer | None = None

    def __call__(self) -> None:
        if self.server is not None:
            self.server.forget_token()


async def _quiet(traffic: Traffic, timeout_s: float) -> float:
    """Wait for running requests, and tell how long it took."""
    began = time.monotonic()
    if not await traffic.quiet(timeout_s):
        left = traffic.in_flight
        _log.warning(
            "%s after %g s, and %s cut",
            *(_counted(left, "still runs", "still run"), timeout_s, "is" if left == 1 else "are"),
        )
    return min(timeout_s, time.monotonic() - began)


async def _listening(server: _Server, task: asyncio.Task[None]) -> None:
    ready = asyncio.create_task(server.listening.wait())
    try:
        await asyncio.wait({ready, task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_and_wait(ready)
    if task.done():
        await task


def event_loop(live: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the loop that a pipeline is served in; None for the interpreter's own.

    Uvloop's answers requests with less, and moves a live stream's bytes with more than asyncio's.

    Args:
        live: Whether it is a live pipeline.
    """
    return None if live else auto_loop_factory()


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    return Config(
        Edge(app),
        head_timeout_s=settings.body_timeout_s,
        write_timeout_s=settings.write_timeout_s,
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.drain_timeout_s,
    )
