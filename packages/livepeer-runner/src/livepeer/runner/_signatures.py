"""What the functions of an author take, as `@pipeline` has to call them."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, get_origin, get_type_hints

from pydantic import BaseModel

from livepeer.runner.errors import PipelineDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_MEND = "write it as (frame) or (frame, params)"


class FrameCall(NamedTuple):
    """How a function of a frame is called.

    Attributes:
        takes_params: With the parameters behind the frame.
        model: The Pydantic model of the parameters, if there is one.
    """

    takes_params: bool
    model: type[BaseModel] | None


def as_model(thing: object) -> type[BaseModel] | None:
    """The same, when it is a Pydantic model."""
    return thing if isinstance(thing, type) and issubclass(thing, BaseModel) else None


def read_frame_call(
    where: str, function: Callable[..., object], bound: bool, model: type[BaseModel] | None
) -> FrameCall:
    """How `(frame)` or `(frame, params)` is called; without a model its annotation names it.

    Args:
        where: The function, as a message names it.
        function: What the author wrote.
        bound: Its first parameter is `self`.
        model: What the decorator was given.

    Raises:
        PipelineDefinitionError: It takes something else; the text names the parameter.
    """
    parameters = _parameters(function, bound)
    positional = [one for one in parameters if one.kind in _POSITIONAL]
    for one in parameters:
        odd = one.kind is inspect.Parameter.VAR_POSITIONAL or (
            one.default is one.empty and one in positional[2:]
        )
        if odd or (one.kind is inspect.Parameter.KEYWORD_ONLY and one.default is one.empty):
            shown = str(one.replace(annotation=one.empty))
            raise PipelineDefinitionError(f"{where} takes `{shown}`, which nobody gives: {_MEND}")
    if not positional:
        raise PipelineDefinitionError(f"{where} takes no frame: {_MEND}")
    if len(positional) == 1:
        return FrameCall(False, model)
    second = positional[1]
    annotation = _annotation(where, function, second, required=model is None)
    named = as_model(annotation)
    if named is not None:
        if model is not None and not issubclass(model, named):
            raise PipelineDefinitionError(
                f"{where}: parameter `{second.name}` is annotated {named.__name__}, and the"
                f" decorator has params={model.__name__}: make them one"
            )
        return FrameCall(True, model or named)
    _check_plain(where, second, annotation)
    return FrameCall(True, model)


def read_keywords(
    where: str, function: Callable[..., object], bound: bool, model: type[BaseModel] | None
) -> frozenset[str] | None:
    """The parameters that a hook takes by name; None when it takes all (`**params`).

    Raises:
        PipelineDefinitionError: It takes one that is no field of the model.
    """
    parameters = _parameters(function, bound)
    open_ended = model is None or model.model_config.get("extra") == "allow"
    for one in parameters:
        if one.kind not in (*_NAMED, inspect.Parameter.VAR_KEYWORD):
            shown = str(one.replace(annotation=one.empty))
            raise PipelineDefinitionError(
                f"{where} takes `{shown}` by position: it is called with names, so write **params"
            )
        known = one.kind is inspect.Parameter.VAR_KEYWORD or (
            model is not None and one.name in model.model_fields
        )
        if not known and (one.default is one.empty or not open_ended):
            fields = "there is no params model" if model is None else f"{model.__name__} has none"
            raise PipelineDefinitionError(
                f"{where} takes `{one.name}`, and {fields} with such a field: add it there, or"
                " take **params"
            )
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
        return None
    return frozenset(one.name for one in parameters)


def _parameters(function: Callable[..., object], bound: bool) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())[1 if bound else 0 :]


def _annotation(
    where: str, function: Callable[..., object], parameter: inspect.Parameter, *, required: bool
) -> object:
    if parameter.annotation is parameter.empty:
        return Any
    scope = getattr(inspect.unwrap(function), "__globals__", {})
    holder = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        return get_type_hints(holder, globalns=scope)[parameter.name]
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        if not required:
            return Any
        raise PipelineDefinitionError(
            f"{where}: parameter `{parameter.name}` is annotated {parameter.annotation!r}, which"
            f" cannot be resolved ({error}): import or define it at module level, outside"
            " `if TYPE_CHECKING:`, or give the decorator params="
        ) from error


def _check_plain(where: str, parameter: inspect.Parameter, annotation: object) -> None:
    """A second parameter without a model gets a mapping; what wants another thing is a mistake."""
    origin = get_origin(annotation) or annotation
    # `Any` is a class as well.
    if isinstance(origin, type) and origin is not Any and not issubclass(dict, origin):
        raise PipelineDefinitionError(
            f"{where}: parameter `{parameter.name}` is annotated {origin.__name__}, and gets all"
            " parameters of the stream: annotate it with a Pydantic model, or dict"
        )
    if parameter.default is not parameter.empty and parameter.name != "params":
        raise PipelineDefinitionError(
            f"{where}: parameter `{parameter.name}` has a default, and gets all parameters of the"
            f" stream: make `{parameter.name}` a field of a params model, or take its default away"
        )
