"""Hooks of another framework, of which each may be sync or async."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Hook: TypeAlias = Callable[[], object]


def any_async(hooks: Iterable[Callable[..., object]]) -> bool:
    """Whether one of them has to be awaited."""
    return any(map(inspect.iscoroutinefunction, hooks))


def run(hooks: Iterable[Hook]) -> None:
    """Call hooks in their order, of which none is async."""
    for hook in hooks:
        hook()


async def run_any(hooks: Iterable[Hook]) -> None:
    """Call hooks in their order; the sync ones on a thread, so that they block nobody."""
    for hook in hooks:
        await ask_any(hook)


async def ask_any(hook: Hook) -> object:
    """Call one, on a thread where it is sync, and give what it gives."""
    called = hook() if inspect.iscoroutinefunction(hook) else await asyncio.to_thread(hook)
    return await called if inspect.isawaitable(called) else called
