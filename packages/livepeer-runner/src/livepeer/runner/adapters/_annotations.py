"""The annotations of another framework, with its own types replaced by those of a schema."""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from livepeer.runner._schema.annotations import is_union
from livepeer.runner.errors import PipelineDefinitionError

Leaf: TypeAlias = Callable[[object], object]
"""What takes the place of one type; `KEEP` where it stays."""

KEEP = object()

_STREAMS = (AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator)


def hints(function: Callable[..., object], owner: str) -> dict[str, object]:
    """The annotations of a function, evaluated, `Annotated` kept; the result's is `return`.

    Raises:
        PipelineDefinitionError: One names what is not there at run time.
    """
    try:
        return dict(get_type_hints(function, include_extras=True))
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise PipelineDefinitionError(
            f"{owner}.{function.__name__}(): an annotation cannot be resolved ({error}): import or"
            " define it at module level, outside `if TYPE_CHECKING:`"
        ) from error


def replaced(annotation: object, leaf: Leaf) -> object:
    """An annotation with every type in it asked of `leaf`, from the outside in."""
    new = leaf(annotation)
    if new is not KEEP:
        return new
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = replaced(arguments[0], leaf)
        return annotation if inner is arguments[0] else with_metadata(inner, *arguments[1:])
    if origin is None or origin is Literal:
        return annotation
    changed = tuple(replaced(argument, leaf) for argument in arguments)
    if all(new is old for new, old in zip(changed, arguments, strict=True)):
        return annotation
    return union(*changed) if is_union(annotation) else _subscripted(origin, changed)


def mentions(annotation: object, test: Callable[[object], bool]) -> bool:
    """Whether a type that passes the test stands somewhere in an annotation."""
    found: list[object] = []

    def look(one: object) -> object:
        if test(one):
            found.append(one)
        return KEEP

    replaced(annotation, look)
    return bool(found)


def union(*members: object) -> object:
    """`Union` of members that are known at run time only."""
    return _subscripted(Union, members)


def literal(*values: object) -> object:
    """`Literal` of values that are known at run time only."""
    return _subscripted(Literal, values)


def with_metadata(annotation: object, *metadata: object) -> object:
    """`Annotated` of what is known at run time only."""
    return _subscripted(Annotated, (annotation, *metadata)) if metadata else annotation


def items_of(annotation: object) -> object:
    """The item type where the annotation is that of a stream; `KEEP` where it is none."""
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    derived = (
        arguments and inspect.isclass(origin) and issubclass(origin, (Iterator, AsyncIterator))
    )
    if origin not in _STREAMS and not derived:
        return KEEP
    return arguments[0] if arguments else Any


def stream_of(annotation: object, *, asynchronous: bool) -> object:
    """The annotation of a stream, in our words; of anything where it says nothing of items."""
    item = items_of(annotation)
    named = Any if item is KEEP else item
    return _subscripted(AsyncIterator if asynchronous else Iterator, (named,))


def is_a(annotation: object, kind: type[object]) -> bool:
    """Whether an annotation is a class derived from `kind`."""
    return inspect.isclass(annotation) and issubclass(annotation, kind)


def _subscripted(generic: Any, arguments: tuple[object, ...]) -> object:
    return generic[arguments]
