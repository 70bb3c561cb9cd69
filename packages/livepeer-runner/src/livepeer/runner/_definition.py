"""What a pipeline has to be before it is served, and the mend where it is not."""

from __future__ import annotations

import inspect
import logging
from difflib import get_close_matches
from typing import TYPE_CHECKING, cast

from livepeer.runner.endpoints import mark_of
from livepeer.runner.errors import PipelineDefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from livepeer.runner.batch import Pipeline
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
_BATCH_HOOKS = ("setup", "teardown", "healthcheck")
_BATCH_NAMES = (*_BATCH_HOOKS, "predict", "prepare_models", "router")
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
        raise _no_method(cls, where, missing[0])
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
        PipelineDefinitionError: A hook takes other arguments, `Params` is no Pydantic model, or a
            method is marked with `@endpoint`.
    """
    from pydantic import BaseModel  # lazy: `serve` is imported before anything is served

    cls = pipeline if isinstance(pipeline, type) else type(pipeline)
    params = cast("object", pipeline.Params)
    if params is not None and not (isinstance(params, type) and issubclass(params, BaseModel)):
        raise PipelineDefinitionError(
            f"{cls.__name__}.Params is no Pydantic model: derive it from livepeer.runner.BaseParams"
        )
    _check_no_endpoints(cls)
    for name, takes in _HOOKS.items():
        _check_arguments(cls, name, takes, bound=not isinstance(pipeline, type), of=pipeline)
    _warn_of_names(cls, _HOOKS)


def check_batch_hooks(pipeline: Pipeline | type[Pipeline]) -> None:
    """See that the hooks beside `predict()` can be called as they are, and warn of names that are
    almost those of hooks.

    Args:
        pipeline: The class, or an instance, which may have hooks of its own.

    Raises:
        PipelineDefinitionError: A hook takes arguments.
    """
    cls = pipeline if isinstance(pipeline, type) else type(pipeline)
    for name in _BATCH_HOOKS:
        _check_arguments(cls, name, "()", bound=not isinstance(pipeline, type), of=pipeline)
    _warn_of_names(cls, _BATCH_NAMES)


def _no_method(cls: type[object], where: str, name: str) -> PipelineDefinitionError:
    alike = get_close_matches(name, _methods_of(cls), 1)
    meant = f"rename {alike[0]}(), if that is meant, or " if alike else ""
    return PipelineDefinitionError(
        f"{cls.__name__}{where} has no {name}(): {meant}define it in the class{_place(cls)}"
    )


def _methods_of(cls: type[object]) -> list[str]:
    own = vars(cls).items()
    return [name for name, value in own if callable(value) and not isinstance(value, type)]


def _place(cls: type[object]) -> str:
    """Where a class begins, as messages have it; nothing where there is no source."""
    try:
        return f" ({inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]})"
    except (OSError, TypeError, SyntaxError):
        return ""


def _check_no_endpoints(cls: type[object]) -> None:
    for above in cls.__mro__:
        for name, value in vars(above).items():
            if callable(value) and mark_of(value) is not None:
                raise PipelineDefinitionError(
                    f"{cls.__name__}.{name}() is marked with @endpoint, and a live pipeline has no"
                    " endpoints: take it away, or derive the class from livepeer.runner.Pipeline"
                )


def _warn_of_names(cls: type[object], known: Iterable[str]) -> None:
    names = frozenset(known)
    for name, value in vars(cls).items():
        alike = get_close_matches(name, names, 1, _ALIKE)
        if alike and name not in names and callable(value) and mark_of(value) is None:
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
