"""Payloads and answers by their types, with Pydantic, which is loaded when a type is first used."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeGuard, TypeVar, cast, get_args

from livepeer.client.errors import InvalidAnswer, InvalidJob, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from pydantic import BaseModel, TypeAdapter

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Decoder(Protocol[T_co]):
    """Reads one document of JSON."""

    def __call__(self, text: str | bytes, /) -> T_co:
        """Read it; raises `ValueError` when it is not what it should be."""
        ...


def is_model(value: object) -> TypeGuard[BaseModel]:
    """Whether a value is a Pydantic model; asking loads nothing."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(value, pydantic.BaseModel)


def model_json(model: BaseModel) -> bytes:
    """A model as JSON, by the names that its schema has.

    Raises:
        InvalidJob: It holds something that JSON cannot say.
    """
    try:
        text = model.model_dump_json(by_alias=True).encode()
        if b"null" in text:
            _check_finite(model.model_dump())
    except ValueError as error:
        raise InvalidJob(f"`payload` cannot be written as JSON: {error}") from error
    return text


def typed_json(value: object, type_: type[object]) -> bytes:
    """A value of a type that Pydantic knows as JSON.

    Raises:
        InvalidJob: It is of another type, or JSON cannot say it.
    """
    adapter = adapter_of(type_)
    try:
        valid = adapter.validate_python(value)
        # As any: what a subclass has more goes along.
        text = adapter.dump_json(valid, by_alias=True, serialize_as_any=True)
        if b"null" in text:
            _check_finite(adapter.dump_python(valid, serialize_as_any=True))
    except ValueError as error:
        raise InvalidJob(f"`payload` is no {_named(type_)}: {_first_fault(error)}") from error
    return text


def takes_none(type_: type[object]) -> bool:
    """Whether None is one of the values that a type names."""
    return type(None) in get_args(type_)


def _check_finite(value: object) -> None:
    """Pydantic writes null for what JSON has no number for, which would be another value."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number that JSON can say")
    if isinstance(value, Mapping):
        for each in cast("Mapping[object, object]", value).values():
            _check_finite(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in cast("Iterable[object]", value):
            _check_finite(each)


def decoder_of(type_: type[T]) -> Decoder[T]:
    """What reads a type from JSON; `bytes` is whatever came.

    Raises:
        MissingExtra: Pydantic is not installed.
    """
    if type_ is bytes:
        return cast("Decoder[T]", _as_bytes)
    adapter = adapter_of(type_)

    def decode(text: str | bytes, /) -> T:
        return cast("T", adapter.validate_json(text or b"null"))

    return decode


def _as_bytes(text: str | bytes, /) -> bytes:
    return text.encode() if isinstance(text, str) else text


def not_of_type(type_: object, error: ValueError, url: str) -> InvalidAnswer:
    """The error of an answer that is not what was declared; names the first field at fault."""
    return InvalidAnswer(f"the answer is no {_named(type_)}: {_first_fault(error)}", url=url)


def adapter_of(type_: type[object]) -> TypeAdapter[object]:
    """Pydantic's own of a type, made once: that takes far longer than a call.

    Raises:
        MissingExtra: Pydantic is not installed.
        InvalidJob: Pydantic does not know the type.
    """
    try:
        return _adapter(cast("Hashable", type_), _order(type_))
    except TypeError:  # a type with metadata that has no hash
        return _new_adapter(type_)


def _new_adapter(type_: type[object]) -> TypeAdapter[object]:
    try:
        from pydantic import TypeAdapter  # lazy: heavy, and an extra
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "answers by type need Pydantic: pip install 'livepeer-client[typed]'"
        ) from error
    from pydantic import PydanticUserError

    try:
        return TypeAdapter(type_)
    except PydanticUserError as error:
        first = str(error).partition("\n")[0]
        raise InvalidJob(f"{type_!r} is no type that Pydantic knows: {first}") from error


def _order(type_: object) -> tuple[Hashable, ...]:
    """Tells `A | B` from `B | A`, which are equal, and read differently."""
    arguments = get_args(type_)
    return tuple((each, _order(each)) for each in arguments)


@lru_cache(maxsize=1024)
def _adapter(type_: Hashable, _order: tuple[Hashable, ...]) -> TypeAdapter[object]:
    return _new_adapter(cast("type[object]", type_))


def _named(type_: object) -> str:
    return type_.__name__ if isinstance(type_, type) else str(type_)


def _first_fault(error: ValueError) -> str:
    from pydantic import ValidationError  # lazy: it is loaded by now

    if not isinstance(error, ValidationError):
        return str(error)
    # Without the values, which may be long or secret.
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    first = faults[0]
    place = ".".join(map(str, first["loc"]))
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{place}: {first['msg']}{more}" if place else f"{first['msg']}{more}"
