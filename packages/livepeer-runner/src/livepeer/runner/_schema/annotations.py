"""Annotations of a function, one at a time, so that a message can name the one that is wrong."""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterator,
)
from types import SimpleNamespace
from typing import Any, get_args, get_origin, get_type_hints

from livepeer.runner.errors import PipelineDefinitionError

_STREAMS = (AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterator)


def resolve(owner: str, function: Callable[..., object], name: str, annotation: object) -> object:
    """Evaluate one annotation of a function, `Annotated` kept; no annotation reads as `Any`.

    Raises:
        PipelineDefinitionError: It names what is not there at run time.
    """
    if annotation is inspect.Signature.empty:
        return Any
    scope = getattr(inspect.unwrap(function), "__globals__", {})
    holder = SimpleNamespace(__annotations__={name: annotation})
    try:
        return get_type_hints(holder, globalns=scope, include_extras=True)[name]
    except (NameError, AttributeError, SyntaxError, TypeError) as exc:
        where = "the return annotation" if name == "return" else f"parameter `{name}`"
        raise PipelineDefinitionError(
            f"{owner}.predict(): {where} is annotated {annotation!r}, which cannot be resolved"
            f" ({exc}); import or define it at module level, outside `if TYPE_CHECKING:`"
        ) from exc


def stream_kind(function: Callable[..., object], returns: object) -> bool:
    """Whether the answer is a stream: a generator, or a function declared to return one."""
    return (
        inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
        or (get_origin(returns) or returns) in _STREAMS
    )


def item_of(returns: object) -> object:
    """The item type of a stream's annotation; `Any` where it says nothing."""
    arguments = get_args(returns)
    return arguments[0] if arguments else Any
