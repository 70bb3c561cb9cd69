"""What a pipeline's first frame would load, loaded before it: a second in a hook is a gap."""

from __future__ import annotations

import inspect
import logging
import sys
from importlib import import_module
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Final, cast

from livepeer.runner.decorator import ShortHooks
from livepeer.runner.live import LivePipeline

if TYPE_CHECKING:
    from collections.abc import Generator

_log = logging.getLogger(__name__)

# What of a frame loads which library, by the name that an author's code has for it.
_LOADED_BY: Final = {
    "planes": "numpy",
    "to_ndarray": "numpy",
    "from_ndarray": "numpy",
    "to_tensor": "torch",
    "from_tensor": "torch",
}


def preload(pipeline: LivePipeline) -> None:
    """Load what frames are asked for in the author's class, or in the functions beside it.

    It looks for names; code that asks in another way pays when it does, in its first frame.
    """
    names = {name for function in _functions(type(pipeline)) for name in _names(function.__code__)}
    for library in sorted({_LOADED_BY[name] for name in names & _LOADED_BY.keys()}):
        try:
            import_module(library)
        except Exception as error:  # noqa: BLE001 - the hook that needs it says so, if it is called
            _log.debug("%s cannot be loaded: %s", library, error)


def _functions(cls: type[LivePipeline]) -> Generator[FunctionType]:
    ours = {*LivePipeline.__mro__, *ShortHooks.__mro__}
    for base in cls.__mro__:
        if base in ours:
            continue
        module = sys.modules.get(str(base.__module__))
        beside = vars(module).values() if module is not None else ()
        for value in (*vars(base).values(), *beside):
            function = _function(value)
            if function is not None and function.__module__ == base.__module__:
                yield function


def _function(value: object) -> FunctionType | None:
    """The author's function, below what wraps it; objects of other kinds are not even touched."""
    if isinstance(value, (staticmethod, classmethod)):
        value = cast("staticmethod[..., object]", value).__func__
    if type(value) is not FunctionType:
        return None
    try:
        innermost: object = inspect.unwrap(value)
    except ValueError:  # it wraps itself
        return value
    return innermost if type(innermost) is FunctionType else value


def _names(code: CodeType) -> Generator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
