"""What may stand in an annotation elsewhere, and says nothing of what a request brings."""

from __future__ import annotations

from dataclasses import InitVar
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    NotRequired,
    ParamSpec,
    Required,
    Self,
    TypeVar,
    Unpack,
    cast,
    get_args,
    get_origin,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPE_ALONE = "write the type alone; a default makes a parameter optional"
_MENDS = cast(
    "tuple[tuple[object, str], ...]",
    (
        (ClassVar, _TYPE_ALONE),
        (Final, _TYPE_ALONE),
        (InitVar, _TYPE_ALONE),
        (NotRequired, _TYPE_ALONE),
        (Required, _TYPE_ALONE),
        (Self, "name a model of what is meant: a pipeline is not sent"),
        (Unpack, "write its fields as parameters of their own"),
    ),
)


def qualifier_in(annotation: object) -> str | None:
    """Why an annotation is no type, and the mend; None where it is one."""
    for part in parts_of(annotation):
        if isinstance(part, (TypeVar, ParamSpec)):
            return f"`{part.__name__}` stands for any type; write the one that it stands for"
        found = InitVar if isinstance(part, InitVar) else get_origin(part) or part
        mend = next((mend for known, mend in _MENDS if known is found), None)
        if mend is not None:
            name: str = getattr(found, "__name__", None) or str(found)
            return f"`{name}` says nothing of what is sent; {mend}"
    return None


def parts_of(annotation: Any) -> Iterator[object]:
    """An annotation, and all that it is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from parts_of(part)
