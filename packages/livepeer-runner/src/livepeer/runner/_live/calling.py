"""Wait for a hook of a stage, for a bounded time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from livepeer.runner.errors import HookFailed
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Coroutine


async def call_hook(hook: Coroutine[None, None, None], name: str, limit_s: float) -> None:
    """Wait for a hook; cancelled, it is cancelled.

    Raises:
        HookFailed: It raised, took longer than `limit_s`, or was cancelled by what it waits for.
        RunnerError: What else the stage raises.
    """
    # A task of its own, so that a hook whose future was cancelled does not look as if we were.
    task = asyncio.create_task(hook, name=name)
    try:
        done, _ = await asyncio.wait({task}, timeout=max(limit_s, 0.0))
    finally:
        await cancel_and_wait(task)
    if not done:
        raise HookFailed(f"{name}() took longer than {limit_s:g} s")
    if task.cancelled():
        raise HookFailed(f"{name}() was cancelled")
    task.result()
