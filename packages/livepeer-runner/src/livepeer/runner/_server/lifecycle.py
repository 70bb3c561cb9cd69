"""The life of a runner: set up, make known, serve, withdraw, close."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from livepeer.runner.errors import RegistrationError, SetupFailed
from livepeer.runner.state import PipelineState
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from livepeer.runner._network.registrar import Registrar
    from livepeer.runner._server.engine import Engine

_log = logging.getLogger(__name__)


class Lifecycle:
    """Brings an engine up in the background and takes it down in order.

    Up: `setup()`, then, only when it succeeded, the registration, whose failure is logged and
    otherwise changes nothing. Down: the registration is withdrawn first of all, so that no new
    job is sent here; then the engine is closed.
    """

    def __init__(self, engine: Engine, registrar: Registrar | None, *, linger_s: float) -> None:
        self._engine = engine
        self._registrar = registrar
        self._linger_s = linger_s
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._registered = asyncio.Event()
        self._failure: Exception | None = None
        self._registration_failure: Exception | None = None
        self._draining = False
        self.over = asyncio.Event()
        """Set when `setup()` failed and its ERROR was shown for long enough."""

    @property
    def state(self) -> PipelineState:
        """What `/health` reports."""
        if self._failure is not None:
            return PipelineState.ERROR
        return self._engine.state

    @property
    def message(self) -> str | None:
        """What a person should know of the state; None when there is nothing."""
        if self._failure is not None:
            return f"setup() raised {type(self._failure).__name__}; the log says more"
        return self._engine.message

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""
        return self._ready.is_set() and self._failure is None

    @property
    def required_token(self) -> str | None:
        """The bearer token that callers must have; None until one is registered."""
        return None if self._registrar is None else self._registrar.token

    def start(self) -> None:
        """Begin to set up, in the background."""
        self._task = asyncio.create_task(self._bring_up(), name="runner-setup")

    async def wait_ready(self) -> None:
        """Wait until requests are taken.

        Raises:
            SetupFailed: `setup()` raised, which is the cause.
        """
        await self._ready.wait()
        if self._failure is not None:
            raise SetupFailed(f"setup() raised {type(self._failure).__name__}") from self._failure

    async def wait_registered(self) -> None:
        """Wait until the orchestrator knows us; returns at once where there is none to know.

        Raises:
            SetupFailed: `setup()` raised.
            RegistrationError: The registration failed for good.
        """
        await self.wait_ready()
        await self._registered.wait()
        if self._registration_failure is not None:
            raise self._registration_failure

    async def drain(self) -> None:
        """Withdraw the registration, or the attempt at it; calling it again does nothing."""
        if self._draining:
            return
        self._draining = True
        await cancel_and_wait(self._task)
        if self._registrar is None:
            return
        try:
            await self._registrar.withdraw()
        except RegistrationError as exc:
            _log.warning("the registration was not withdrawn: %s", exc)

    async def close(self) -> None:
        """Withdraw if that has not happened, then close the engine; its errors are logged."""
        await self.drain()
        try:
            await self._engine.close()
        except Exception:  # noqa: BLE001 - the author's teardown() must not stop the end
            _log.error("teardown failed", exc_info=True)

    async def _bring_up(self) -> None:
        try:
            await self._engine.setup()
        except Exception as exc:  # noqa: BLE001 - the author's setup(); /health shows it
            _log.error("setup() failed; the runner ends in %g s", self._linger_s, exc_info=exc)
            self._failure = exc
            self._ready.set()
            await asyncio.sleep(self._linger_s)
            self.over.set()
            return
        self._ready.set()
        await self._announce()
        self._registered.set()

    async def _announce(self) -> None:
        if self._registrar is None:
            return
        try:
            await self._registrar.announce()
        except RegistrationError as exc:
            self._registration_failure = exc
            _log.error("not registered, and serving all the same: %s", exc)
        except Exception as exc:  # noqa: BLE001 - the task's supervisor; nobody else would hear
            self._registration_failure = exc
            _log.error("not registered, for a fault of ours", exc_info=exc)
