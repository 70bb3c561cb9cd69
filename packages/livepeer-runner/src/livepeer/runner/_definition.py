"""What a pipeline has to be before it is served, and the mend where it is not."""

from __future__ import annotations

import inspect
import logging
from difflib import get_close_matches
from typing import TYPE_CHECKING, cast

from livepeer.runner.errors import PipelineDefinitionError

if TYPE_CHECKING:
    from livepeer.runner.live import LivePipeline

_log = logging.getLogger(__name__)

_HOOKS = {
    "on_stream_start": "(params)",
    "process_video": "(frame)",
    "process_audio": "(frame)",
    "on_params_update": "(params)",
    "on_stream_stop": "()",
    "setup": "()",
    "teardown": "()",
}
_ALIKE = 0.85


def check_constructor(
    cls: type[object],
    where: str = "",
    *,
    mend: str = "give it a default, or hand over an instance",
) -> None:
    """See that a class can be made without arguments.

    Args:
        cls: The class.
        where: Where it is defined (` in pipeline.py`), for messages.
        mend: What to do about a constructor that wants arguments.

    Raises:
        PipelineDefinitionError: A method is missing, or the constructor wants arguments.
    """
    missing: list[str] = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise PipelineDefinitionError(
            f"{cls.__name__}{where} has no {missing[0]}(): define it in the class"
        )
    try:
        signature = inspect.signature(cls)
    except ValueError:
        return  # written in C, which does not say
    try:
        signature.bind()
    except TypeError as error:
        raise PipelineDefinitionError(
            f"{cls.__name__}(){where} is called without arguments, and it is {error}: {mend}"
        ) from None


def check_prepare(cls: type[object]) -> None:
    """See that `prepare_models()`, where there is one, can be called on the class.

    Raises:
        PipelineDefinitionError: It wants an instance, or arguments.
    """
    hook: object = getattr(cls, "prepare_models", None)
    if hook is None:
        return
    name = f"{cls.__name__}.prepare_models"
    if not callable(hook):
        raise PipelineDefinitionError(f"{name} is no method")
    try:
        inspect.signature(hook).bind()
    except TypeError as error:
        if inspect.isfunction(inspect.getattr_static(cls, "prepare_models")):
            said = "is called before there is an instance: make it a @classmethod"
        else:
            said = f"is called without arguments, and it is {error}: give it a default"
        raise PipelineDefinitionError(f"{name}() {said}") from None


def check_frames_in_flight(pipeline: LivePipeline | type[LivePipeline]) -> None:
    """See that the number can be one of calls.

    Args:
        pipeline: The class, or an instance, which may have a number of its own.

    Raises:
        PipelineDefinitionError: It is no whole number, or below 1.
    """
    cls = pipeline if isinstance(pipeline, type) else type(pipeline)
    # Whatever the author wrote there.
    number = cast("object", pipeline.frames_in_flight)
    # A property has its value on an instance alone.
    if pipeline is cls and hasattr(type(number), "__get__"):
        return
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise PipelineDefinitionError(
            f"{cls.__name__}.frames_in_flight is {number!r}: write a whole number from 1 up"
        )


def check_hooks(pipeline: LivePipeline | type[LivePipeline]) -> None:
    """See that hooks can be called as they are, and warn of names that are almost those of hooks.

    Args:
        pipeline: The class, or an instance, which may have hooks of its own.

    Raises:
        PipelineDefinitionError: A hook takes other arguments, or `Params` is no Pydantic model.
    """
    from pydantic import BaseModel  # lazy: `serve` is imported before anything is served

    cls = pipeline if isinstance(pipeline, type) else type(pipeline)
    params = cast("object", pipeline.Params)
    if params is not None and not (isinstance(params, type) and issubclass(params, BaseModel)):
        raise PipelineDefinitionError(
            f"{cls.__name__}.Params is no Pydantic model: derive it from livepeer.runner.BaseParams"
        )
    for name, takes in _HOOKS.items():
        _check_arguments(cls, name, takes, bound=not isinstance(pipeline, type), of=pipeline)
    for name, value in vars(cls).items():
        alike = get_close_matches(name, _HOOKS, 1, _ALIKE)
        if alike and name not in _HOOKS and callable(value):
            _log.warning(
                "%s.%s() is never called: did you mean %s()?", cls.__name__, name, alike[0]
            )


def _check_arguments(cls: type[object], name: str, takes: str, *, bound: bool, of: object) -> None:
    try:
        signature = inspect.signature(getattr(of, name))
    except (TypeError, ValueError):
        return  # what cannot be told is called and seen
    arguments = [] if takes == "()" else [None]
    static = isinstance(inspect.getattr_static(cls, name, None), (staticmethod, classmethod))
    if not bound and not static:
        arguments.append(None)
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise PipelineDefinitionError(
            f"{cls.__name__}.{name}() is called with {takes}, and it is {error}: write it as"
            f" {name}{takes.replace('(', '(self, ' if takes != '()' else '(self')}"
        ) from None
