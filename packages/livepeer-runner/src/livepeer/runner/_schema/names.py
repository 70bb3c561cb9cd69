"""Names that a call uses itself, and so nothing that is sent may have."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def names_taken(function: Callable[..., object], parameters: Collection[str]) -> frozenset[str]:
    """What `**kwargs` of a method cannot be called with: `self`, and what decorators take.

    Args:
        function: The method as it is called.
        parameters: Those that callers see; further fields cannot have their names either.
    """
    names = set(parameters)
    one: object = function
    while callable(one):
        names |= _own_names(one)
        if isinstance(one, functools.partial):
            one = cast("functools.partial[object]", one).func
        else:
            one = getattr(one, "__func__", None) or getattr(one, "__wrapped__", None)
    return frozenset(names)


def _own_names(function: Callable[..., object]) -> set[str]:
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (NameError, TypeError, ValueError):
        return set()
    return {one.name for one in signature.parameters.values() if one.kind in _BY_NAME}
