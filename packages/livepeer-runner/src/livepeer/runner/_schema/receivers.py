"""The first parameter of a method, which is the pipeline itself."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_origin

from livepeer.runner._schema.annotations import bare, resolve
from livepeer.runner.errors import PipelineDefinitionError

if TYPE_CHECKING:
    from livepeer.runner._schema.site import Site

_BY_POSITION = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)
_SAYS_ITSELF = frozenset({"__wrapped__", "__signature__"})


def check_receiver(site: Site) -> None:
    """See that a method has a `self`; without one, its first field would get the pipeline.

    Only a plain function of the class is looked at: a static method has none, and a decorator may
    bring it.

    Raises:
        PipelineDefinitionError: It has no first parameter, or one that is annotated as a value.
    """
    function: object = getattr(site.function, "__func__", None)
    standing: object = inspect.getattr_static(site.owner, site.method, None)
    if not inspect.isfunction(function) or function is not standing:
        return
    if _SAYS_ITSELF & vars(function).keys():
        return
    first = next(iter(inspect.signature(function).parameters.values()), None)
    if first is None or first.kind not in _BY_POSITION:
        raise site.refuse(
            "it has no `self`, and it is called with one; write it as the first parameter"
        )
    if _is_value(site, first):
        raise site.refuse(
            f"its first parameter `{first.name}` would be given the pipeline itself; write `self`"
            " before it",
            first.name,
        )


def _is_value(site: Site, first: inspect.Parameter) -> bool:
    """Whether an annotation says that it is something else than the pipeline."""
    named_so = first.name == "self" or first.kind is inspect.Parameter.VAR_POSITIONAL
    if named_so or first.annotation is inspect.Parameter.empty:
        return False
    try:
        annotation = bare(resolve(site, first.name, first.annotation))
    except PipelineDefinitionError:
        return False  # what only type checkers see, as an instance's may be
    kind = get_origin(annotation) or annotation
    if kind is Any or kind is Self or isinstance(kind, TypeVar):
        return False
    try:
        return not (isinstance(kind, type) and issubclass(site.owner, kind))
    except TypeError:
        return False  # a protocol, which the pipeline may well fit
