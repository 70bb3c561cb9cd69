"""Numbers that JSON has not, which Python's readers of it let through."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from livepeer.runner.errors import InvalidParams

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_Place = tuple[str | int, ...]


def refuse_not_finite(values: Mapping[str, object]) -> None:
    """Refuse NaN and infinities: what is published could not tell of them.

    Raises:
        InvalidParams: There are some; each error's `loc` begins with its field.
    """
    places = list(_not_finite(values, ()))
    if places:
        fields = ", ".join(".".join(map(str, place)) for place in places[:3])
        message = "Input should be a finite number"
        faults = [{"type": "finite_number", "loc": place, "msg": message} for place in places]
        raise InvalidParams(f"these numbers are not finite: {fields}", faults)


def _not_finite(value: object, place: _Place) -> Iterator[_Place]:
    if isinstance(value, float) and not math.isfinite(value):
        yield place
    elif isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            yield from _not_finite(item, (*place, key))
    elif isinstance(value, list):
        for at, item in enumerate(cast("list[object]", value)):
            yield from _not_finite(item, (*place, at))
