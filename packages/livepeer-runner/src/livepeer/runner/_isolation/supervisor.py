"""Keeps one process alive: it is made, watched, and made anew when it is gone."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from livepeer.runner._isolation.backoff import Backoff
from livepeer.runner._isolation.life import Life
from livepeer.runner.errors import PipelineDefinitionError, SetupFailed
from livepeer.runner.state import PipelineState

_log = logging.getLogger(__name__)

L = TypeVar("L", bound=Life[Any])


class Supervisor(ABC, Generic[L]):
    """Makes the lives of one model, one after the other.

    Args:
        setup_timeout_s: How long `setup()` may take.
        watch_s: Time between two looks whether it hangs.
        backoff_s: First wait before a life that follows one that failed soon.

    Attributes:
        restarts: How many lives followed another.
        state: OK while the model can be used; LOADING, also after a crash; ERROR when `setup()`
            fails.
        message: What happened to the last life, and when there is another, or that one begins.
    """

    def __init__(self, *, setup_timeout_s: float, watch_s: float, backoff_s: float) -> None:
        self.restarts = 0
        self.state = PipelineState.LOADING
        self.message: str | None = None
        self._setup_timeout_s = setup_timeout_s
        self._watch_s = watch_s
        self._backoff_s = backoff_s
        self._life: L | None = None

    @property
    def label(self) -> str:
        """What its lines in the log begin with: which of several it is about."""
        return ""

    @property
    def life(self) -> L | None:
        """The one that can be used now."""
        return None if self._life is None or self._life.lost else self._life

    async def run(self) -> None:
        """Until it is cancelled, or `_failed` raises; then the last life goes on."""
        backoff = Backoff(self._backoff_s)
        while True:
            worked_s: float | None = None
            try:
                life = await self._open()
            except (PipelineDefinitionError, SetupFailed) as error:
                reason = str(error)
                self._failed(error)
            else:
                self._came(life)
                began = time.monotonic()
                reason = await self._watch(life)
                worked_s = time.monotonic() - began
            await self._pause(reason, backoff.next(worked_s), failed=worked_s is None)
            self.message = f"{reason}; the next one is loading"
            self.restarts += 1
            self._restarting()

    @abstractmethod
    def _make(self) -> L:
        """Begin a life; raises `OSError` where the system has no process."""

    def _came(self, life: L) -> None:
        """One can be used."""

    def _failed(self, error: PipelineDefinitionError | SetupFailed) -> None:
        """One could not be made; to give up, raise the error."""

    def _went(self, message: str) -> None:
        """One is gone."""

    def _restarting(self) -> None:
        """One follows another."""

    async def _open(self) -> L:
        limit = self._setup_timeout_s
        try:
            life = self._make()
        except OSError as error:
            raise SetupFailed(f"no process can be started: {error}") from error
        try:
            async with asyncio.timeout(limit):
                await asyncio.shield(life.opened)
        except BaseException as error:
            await life.finish("the runner stops")
            if isinstance(error, TimeoutError):
                raise SetupFailed(f"setup() took longer than {limit:g} s") from None
            raise
        self._life, self.state, self.message = life, PipelineState.OK, None
        return life

    async def _watch(self, life: L) -> str:
        """Until the process is gone; why."""
        while not life.ended.done():
            await asyncio.wait((life.ended,), timeout=self._watch_s)
            if life.lost:
                return await life.finish("the model process is gone")
            if life.hang is not None:
                return await life.finish(life.hang)
        return life.ended.result()

    async def _pause(self, reason: str, wait_s: float, *, failed: bool) -> None:
        """What there is to tell, and the wait before the next process."""
        self._life = None
        when = f"in {wait_s:g} s" if wait_s else "now"
        self.message = f"{reason}; it is started anew {when}"
        # A crash is mended by the next setup(); a setup() that fails needs a person.
        self.state = PipelineState.ERROR if failed else PipelineState.LOADING
        _log.error("%s%s", self.label, self.message)
        self._went(self.message)
        await asyncio.sleep(wait_s)
