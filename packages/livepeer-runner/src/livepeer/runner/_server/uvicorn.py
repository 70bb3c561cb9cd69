"""Run an application with uvicorn, started, stopped and watched in our order."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn

from livepeer.runner._server.app import build_app
from livepeer.runner._server.lifecycle import Lifecycle
from livepeer.runner.errors import PortInUse, SetupFailed
from livepeer.trickle.aio import cancel_and_wait, stop_on_signal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from livepeer.runner._target import Servable, ServeTarget
    from livepeer.runner.settings import Settings

_log = logging.getLogger(__name__)

_TICK_S: Final = 1.0


class RunningServer:
    """A server that listens.

    Attributes:
        url: Its base URL, without a trailing slash; the loopback address when it listens on all.
        name: What is served.
    """

    def __init__(self, url: str, name: str, lifecycle: Lifecycle) -> None:
        self.url = url
        self.name = name
        self._lifecycle = lifecycle

    async def wait_ready(self) -> None:
        """Wait until `setup()` has finished; raises `SetupFailed` when it failed."""
        await self._lifecycle.wait_ready()

    async def wait_registered(self) -> None:
        """Wait for the registration, if there is to be one; raises `RegistrationError`."""
        await self._lifecycle.wait_registered()

    async def wait_over(self) -> None:
        """Wait until the server is of no more use, because `setup()` failed."""
        await self._lifecycle.over.wait()


class _Server(uvicorn.Server):
    """Uvicorn's server, which tells when it listens and leaves the signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._woken = asyncio.Event()

    def stop(self) -> None:
        """End it, as soon as running requests have finished."""
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
            timer = loop.call_later(_TICK_S, self._woken.set)
            await self._woken.wait()
            self._woken.clear()
            timer.cancel()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """Take an address to listen on.

    Raises:
        PortInUse: Somebody else has it.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as exc:
        sock.close()
        if exc.errno in (errno.EADDRINUSE, errno.EACCES):
            raise PortInUse(host, port) from exc
        raise
    return sock


@asynccontextmanager
async def running(
    pipeline: Servable | ServeTarget, settings: Settings, sock: socket.socket | None = None
) -> AsyncGenerator[RunningServer, None]:
    """Serve a pipeline in the running loop for as long as the context lasts.

    The context begins when the server listens, while `setup()` may still run. At its end the
    registration is withdrawn first, running requests get `drain_timeout_s` to finish, then the
    pipeline is torn down. No signal handler is installed.

    Raises:
        PipelineDefinitionError: The pipeline cannot be served as it is written.
        PortInUse: The address of the settings is taken (only when `sock` is not given).
    """
    if sock is None:
        sock = bind(settings.host, settings.port)
    try:
        host, port = sock.getsockname()[:2]
        # The registration names the port that was in fact taken.
        settings = settings.model_copy(update={"port": port})
        app = build_app(pipeline, settings)
        server = _Server(_config(app, settings))
        task = asyncio.create_task(server.serve(sockets=[sock]), name="runner-http")
        try:
            await _listening(server, task)
            lifecycle: object = app.state.lifecycle
            assert isinstance(lifecycle, Lifecycle)
            try:
                yield RunningServer(_url(host, port), app.title, lifecycle)
            finally:
                await lifecycle.drain()
        finally:
            server.stop()
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
    with stop_on_signal() as stopped:
        async with running(pipeline, settings, sock) as server:
            _log.info("%s at %s (documents: %s/docs)", server.name, server.url, server.url)
            stop = asyncio.create_task(_wait(stopped))
            over = asyncio.create_task(server.wait_over())
            try:
                await asyncio.wait({stop, over}, return_when=asyncio.FIRST_COMPLETED)
                if over.done():
                    raise SetupFailed("setup() raised")
            finally:
                await cancel_and_wait(stop, over)


async def _listening(server: _Server, task: asyncio.Task[None]) -> None:
    ready = asyncio.create_task(_wait(server.listening))
    try:
        await asyncio.wait({ready, task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_and_wait(ready)
    if task.done():
        await task


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def _config(app: object, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # FastAPI is an ASGI application
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.drain_timeout_s,
    )


def _url(host: str, port: int) -> str:
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
