"""Annotations of a method, one at a time, so that a message can name the one that is wrong."""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    NamedTuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic.fields import FieldInfo

if TYPE_CHECKING:
    from livepeer.runner._schema.site import Site

_SYNC: tuple[object, ...] = (Generator, Iterator)
_ASYNC: tuple[object, ...] = (AsyncGenerator, AsyncIterable, AsyncIterator)
_AWAITED: tuple[object, ...] = (Awaitable, Coroutine)


class Kind(NamedTuple):
    """How a method answers.

    Attributes:
        streams: With a stream of items.
        blocking: On a worker thread: calling it, or taking its items, keeps the caller waiting.
    """

    streams: bool
    blocking: bool


def resolve(site: Site, name: str, annotation: object) -> object:
    """Evaluate one annotation, `Annotated` kept; no annotation reads as `Any`.

    Raises:
        PipelineDefinitionError: It names what is not there at run time.
    """
    if annotation is inspect.Signature.empty:
        return Any
    scope = getattr(site.written, "__globals__", {})
    # What the class defines in its body, such as the model of a request.
    nested = {
        known: value
        for cls in reversed(site.owner.__mro__)
        for known, value in vars(cls).items()
        if isinstance(value, type)
    }
    # A class, in which qualifiers may stand: what they are is told elsewhere.
    holder = type("Holder", (), {"__annotations__": {name: annotation}})
    try:
        hints = get_type_hints(holder, globalns=scope, localns=nested, include_extras=True)
    except Exception as exc:  # to evaluate it runs code of the author's
        where = "the return annotation" if name == "return" else f"parameter `{name}`"
        raise site.refuse(
            f"{where} is annotated {annotation!r}, which cannot be resolved ({exc});"
            " import or define it at module level, outside `if TYPE_CHECKING:`",
            name,
        ) from exc
    return hints[name]


def read_kind(site: Site, returns: object) -> Kind:
    """How a method answers: by what it is, and by what it is declared to return.

    A decorator that keeps the signature decides with the function that it puts in the place of the
    author's: that may await, or gather, what the author's gives. One that says nothing is taken to
    hand on a generator that it finds; what else it hands on is seen with each call.

    Raises:
        PipelineDefinitionError: The two do not fit together.
    """
    origin = _origin(returns)
    if inspect.isgeneratorfunction(site.function):
        _check_generator(site, returns, "Iterator", (*_SYNC, Iterable))
        return Kind(streams=True, blocking=True)
    if inspect.isasyncgenfunction(site.function):
        _check_generator(site, returns, "AsyncIterator", _ASYNC)
        return Kind(streams=True, blocking=False)
    waits = inspect.iscoroutinefunction(site.function)
    if (waits or inspect.iscoroutinefunction(site.written)) and origin in _SYNC:
        raise site.refuse(
            f"it is async and returns {returns!r}, whose items nobody could await; `yield` them"
            " and annotate it as AsyncIterator, or take `async` away",
            "return",
        )
    if origin in _AWAITED:
        raise site.refuse(
            f"it is declared to return {returns!r}; write it as `async def` with what is awaited as"
            " its annotation",
            "return",
        )
    if returns is Any and not waits and _gives_items(site.written):
        return Kind(streams=True, blocking=inspect.isgeneratorfunction(site.written))
    return Kind(streams=origin in (*_SYNC, *_ASYNC), blocking=not waits and origin not in _ASYNC)


def item_of(returns: object) -> object:
    """The item type of a stream's annotation; `Any` where it says nothing."""
    arguments = get_args(bare(returns))
    return arguments[0] if arguments else Any


def is_union(annotation: object) -> bool:
    """Whether it is `Union[...]` or `X | Y`."""
    return get_origin(annotation) in (Union, UnionType)


def members_of(annotation: object) -> tuple[object, ...]:
    """What a union is made of, without None; of anything else itself."""
    if not is_union(annotation):
        return (annotation,)
    return tuple(one for one in get_args(annotation) if one is not NoneType)


def bare(annotation: object) -> object:
    """An annotation without its `Annotated`."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def metadata_of(annotation: object) -> tuple[object, ...]:
    """What an `Annotated` adds; nothing where it is none."""
    return get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()


def shown(annotation: object) -> str:
    """An annotation as messages name it, without what stands in `Field(...)`: a secret, perhaps."""
    if any(isinstance(one, FieldInfo) for one in get_args(annotation)[1:]):
        return f"Annotated[{bare(annotation)!r}, ...]"
    return repr(annotation)


def _origin(annotation: object) -> object:
    inner = bare(annotation)
    return get_origin(inner) or inner


def _gives_items(function: object) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def _are_alike(one: object, other: object) -> bool:
    return inspect.isgeneratorfunction(one) == inspect.isgeneratorfunction(other)


def _check_generator(site: Site, returns: object, name: str, allowed: tuple[object, ...]) -> None:
    if returns is Any or _origin(returns) in allowed:
        return
    of_items = _gives_items(site.written)
    changed = of_items and not _are_alike(site.function, site.written)
    if changed and _origin(returns) in (*_SYNC, *_ASYNC, Iterable):
        return  # a decorator made one kind of generator of the other, and kept its annotation
    made = "" if of_items else " by its decorator"
    raise site.refuse(
        f"it is a generator{made}, annotated {returns!r}; annotate it as {name}[...] of its items",
        "return",
    )
