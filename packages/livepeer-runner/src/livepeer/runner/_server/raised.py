"""What the author's code raises that is no `Exception`: it fails a call, and ends nothing else."""

from __future__ import annotations

import asyncio

from livepeer.runner.errors import describe


def as_error(exc: BaseException) -> Exception:
    """What whoever waits for a call can be told; itself where that is an ordinary exception."""
    if isinstance(exc, Exception) and not isinstance(exc, StopIteration):
        return exc
    name = type(exc).__name__
    error = RuntimeError(f"{name} was raised: {describe(exc).removeprefix(f'{name}: ')}")
    error.__cause__ = exc
    return error


def is_cancelled(exc: BaseException) -> bool:
    """Whether it is the cancellation of the running task, and not one that the author raised."""
    task = asyncio.current_task()
    return isinstance(exc, asyncio.CancelledError) and task is not None and task.cancelling() > 0
