"""The life of a runner: set up, make known, serve, withdraw, close."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Protocol

from livepeer.runner._context import CURRENT, Call
from livepeer.runner._server.progress import Progress
from livepeer.runner.errors import PipelineDefinitionError, SetupFailed
from livepeer.runner.state import PipelineState
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livepeer.runner._server.checkup import Checkup
    from livepeer.runner._server.engine import Engine
    from livepeer.runner._server.registration import Registration

_log = logging.getLogger(__name__)


class Concern(Protocol):
    """What may be wrong with a runner that is set up."""

    @property
    def message(self) -> str | None:
        """What is wrong; None while nothing is."""
        ...

    @property
    def refuses(self) -> bool:
        """Whether no work is taken while something is."""
        ...


class Lifecycle:
    """Brings an engine up in the background and takes it down in order.

    Up: `setup()`, then, only when it succeeded, the registration, whose failure is logged and
    otherwise changes nothing. Down: the registration is withdrawn first of all, so that no new
    job is sent here; then the engine is closed.

    Args:
        engine: What runs the author's class.
        registration: How it is made known.
        linger_s: How long the ERROR of a failed `setup()` is shown.
        teardown_s: How long the engine may take to close.
        checkup: Asks the author whether it is well, from when it is set up.
        concerns: What else makes an ERROR of the state.
    """

    def __init__(
        self,
        engine: Engine,
        registration: Registration,
        *,
        linger_s: float,
        teardown_s: float,
        checkup: Checkup | None = None,
        concerns: Sequence[Concern] = (),
    ) -> None:
        self._engine = engine
        self._registration = registration
        self._linger_s = linger_s
        self._teardown_s = teardown_s
        self._checkup = checkup
        self._concerns = (*concerns, *([checkup] if checkup else ()))
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._registered = asyncio.Event()
        self._failure: Exception | SystemExit | None = None
        self._draining = False
        self._seen: PipelineState = PipelineState.LOADING
        self._since = time.time()
        self.progress = Progress()
        """How far `setup()` is."""
        self.over = asyncio.Event()
        """Set when `setup()` failed and its ERROR was shown for long enough."""

    @property
    def state(self) -> PipelineState:
        """What `/health` reports."""
        if self._failure is not None or any(concern.message for concern in self._concerns):
            return PipelineState.ERROR
        state = self._engine.state
        if not self._ready.is_set() and state is not PipelineState.ERROR:
            return PipelineState.LOADING  # as long as no work is taken, whatever could be used
        return state

    @property
    def message(self) -> str | None:
        """What a person should know of the state; None when there is nothing."""
        if self._failure is not None:
            return _why(self._failure, "; the log says more")
        if self._draining:
            return "ending: what runs is finished, and nothing new begins"
        wrong = (concern.message for concern in self._concerns if concern.message)
        return next(wrong, None) or self._engine.message

    @property
    def since(self) -> float:
        """When the state began, in seconds since 1970; of one that nobody looked at, when the next
        look was."""
        self.look()
        return self._since

    @property
    def refusal(self) -> str | None:
        """Why no work is taken; None when it is."""
        if self._draining:
            return "the runner is ending"
        if not self._ready.is_set() or self._failure is not None:
            return f"the pipeline is not ready ({self.state.value})"
        refusing = (c.message for c in self._concerns if c.refuses and c.message)
        return next(refusing, None)

    @property
    def required_token(self) -> str | None:
        """The bearer token that callers must have; None until one is registered."""
        return self._registration.token

    @property
    def registration(self) -> Registration:
        """How the runner is known."""
        return self._registration

    def look(self) -> None:
        """See whether the state is another one by now."""
        state = self.state
        if state is not self._seen:
            self._seen, self._since = state, time.time()

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
            raise SetupFailed(_why(self._failure)) from self._failure

    async def wait_registered(self) -> None:
        """Wait until the orchestrator knows us; returns at once where there is none to know.

        Raises:
            SetupFailed: `setup()` raised.
            RegistrationError: The registration failed for good.
        """
        await self.wait_ready()
        await self._registered.wait()
        if self._registration.failure is not None:
            raise self._registration.failure

    async def drain(self) -> None:
        """Take no more work and withdraw the registration, or the attempt at it; calling it again
        does nothing."""
        if self._draining:
            return
        self._draining = True
        await cancel_and_wait(self._task)
        await self._registration.withdraw()

    async def close(self) -> None:
        """Withdraw if that has not happened, then close the engine; its errors are logged."""
        await self.drain()
        if self._checkup is not None:
            await self._checkup.close()
        try:
            async with asyncio.timeout(self._teardown_s):
                await self._engine.close()
        except TimeoutError:
            _log.error("teardown did not end within %g s, and is left", self._teardown_s)
        except Exception:  # noqa: BLE001 - the author's teardown() must not stop the end
            _log.error("teardown failed", exc_info=True)
        finally:
            self._registration.forget_token()

    async def _bring_up(self) -> None:
        try:
            await self._set_up()
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - the author's setup(); /health shows it
            told = _is_told(exc)
            what = str(exc) if told else "setup() failed"
            _log.error(
                "%s; the runner ends in %g s", what, self._linger_s, exc_info=None if told else exc
            )
            self._failure = exc
            self.look()
            self._ready.set()
            await asyncio.sleep(self._linger_s)
            self.over.set()
            return
        if self._checkup is not None:
            await self._checkup.start()
        self._ready.set()
        self.look()
        await self._registration.announce()
        self._registered.set()

    async def _set_up(self) -> None:
        token = CURRENT.set(Call(report=self.progress.report))
        try:
            await self._engine.setup()
        finally:
            CURRENT.reset(token)


def _why(failure: Exception | SystemExit, more: str = "") -> str:
    """What a failed `setup()` comes to, for a person."""
    if _is_told(failure):
        return str(failure)
    return f"setup() raised {type(failure).__name__}{more}"


def _is_told(failure: Exception | SystemExit) -> bool:
    """Whether it says all: of another process, whose log has the rest, or of a wrong class."""
    return isinstance(failure, (SetupFailed, PipelineDefinitionError))
