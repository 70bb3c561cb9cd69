"""`@pipeline`: from a function of a frame, or a class with short hooks, to a `LivePipeline`."""

from __future__ import annotations

import inspect
import warnings
from types import new_class
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast, overload

from pydantic import BaseModel, ValidationError

from livepeer.runner._definition import check_constructor, check_prepare
from livepeer.runner._signatures import FrameCall, as_model, read_frame_call, read_keywords
from livepeer.runner.batch import Pipeline
from livepeer.runner.errors import PipelineDefinitionError
from livepeer.runner.live import LivePipeline
from livepeer.runner.spec import PipelineSpec, kebab, path_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from livepeer.runner.frames import VideoFrame

__all__ = ["NestedPipelineWarning", "pipeline"]

_T = TypeVar("_T")

# Hooks that an author of the short form may override as well.
_SHARED = frozenset(
    {"Params", "frames_in_flight", "on_stream_stop", "prepare_models", "process_audio"}
)


class NestedPipelineWarning(UserWarning):
    """A pipeline is defined inside a function or a class, where no process of its own finds it."""


class ShortHooks(LivePipeline):
    """The short hooks, and the `LivePipeline` that they make; what `@pipeline` derives from."""

    _frame_call: ClassVar[FrameCall] = FrameCall(True, None)
    _ready_takes: ClassVar[frozenset[str] | None] = None
    _update_takes: ClassVar[frozenset[str] | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._frame_call = read_frame_call(*_method(cls, "transform"), cls.Params)
        cls.Params = cls._frame_call.model
        cls._ready_takes = read_keywords(*_method(cls, "on_ready"), cls.Params)
        cls._update_takes = read_keywords(*_method(cls, "on_update"), cls.Params)

    def on_ready(self, **params: Any) -> Awaitable[None] | None:
        """Once, before the first stream: load models. Gets the initial parameters by name."""

    def transform(self, frame: VideoFrame, params: Any) -> Any:
        """Each picture, as `LivePipeline.process_video`.

        Args:
            frame: The picture.
            params: The parameters in force when the call begins; may be left out.
        """
        raise NotImplementedError

    def on_update(self, **params: Any) -> Awaitable[None] | None:
        """All parameters by name, when a stream begins and when its caller changes them.

        What takes long is awaited in an async hook, or returned as an awaitable: until it is done
        callers see the loading overlay.
        """

    def on_stop(self) -> Awaitable[None] | None:
        """Once, after the last stream."""

    def setup(self) -> Awaitable[None] | None:
        """Run `on_ready`."""
        given = {} if self.spec is None else dict(self.spec.initial_params)
        return self.on_ready(**_chosen(self._ready_takes, _initial(self.Params, given)))

    def on_stream_start(self, params: Any) -> Awaitable[None] | None:
        """Run `on_update`."""
        return self.on_update(**_chosen(self._update_takes, dict(params)))

    def on_params_update(self, params: Any) -> Awaitable[None] | None:
        """Run `on_update`."""
        return self.on_update(**_chosen(self._update_takes, dict(params)))

    def process_video(self, frame: VideoFrame) -> Any:
        """Run `transform`, with the parameters in force now."""
        if self._frame_call.takes_params:
            return self.transform(frame, self.stream.params)
        # The author's own takes no more than the frame.
        return cast("Any", self.transform)(frame)

    def teardown(self) -> Awaitable[None] | None:
        """Run `on_stop`."""
        return self.on_stop()


_SHORT = frozenset({"on_ready", "transform", "on_update", "on_stop"})


# A class is callable too, and matches the first of the two that fit.
@overload
def pipeline(definition: type[_T], /) -> type[_T]: ...  # type: ignore[overload-overlap]  # see above


@overload
def pipeline(definition: Callable[..., object], /) -> type[LivePipeline]: ...


@overload
def pipeline(*, name: str | None = None, params: type[BaseModel] | None = None) -> _Decorate: ...


def pipeline(
    definition: object = None,
    /,
    *,
    name: str | None = None,
    params: type[BaseModel] | None = None,
) -> object:
    """Make a `LivePipeline` of a function, or of a class with short hooks.

    A function of `(frame)` or `(frame, params)`, sync, async or a generator, is the whole pipeline.
    A class has `transform(self, frame[, params])`, and as it likes `on_ready(self, **params)`,
    `on_update(self, **params)`, `on_stop(self)` and `prepare_models()`; each may be async. Its
    methods may use all that a `LivePipeline` offers (`self.emit_event`, `self.stream`) and override
    `process_audio` and `on_stream_stop`. A class that already derives from `LivePipeline` only gets
    its name, `Params` and `spec`.

    The result has the name of what was decorated, and `serve()` takes it as it is. The function
    stays reachable as its `transform`.

    Args:
        definition: What stands under a bare `@pipeline`.
        name: The capability's name; by default that of the function or class in kebab case.
        params: The Pydantic model of the parameters; by default the annotation of `transform`'s
            second parameter, or the class's own `Params`. Without any, parameters come as a dict.

    Warns:
        NestedPipelineWarning: It is defined inside a function or a class.

    Raises:
        PipelineDefinitionError: A hook is missing or takes something else; the text names it.
    """
    if params is not None and as_model(params) is None:
        raise PipelineDefinitionError(
            f"params is {params!r}: give it a Pydantic model, derived from"
            " livepeer.runner.BaseParams"
        )
    if definition is not None:
        return _decorated(definition, name, params)

    def decorate(definition: object) -> type[LivePipeline]:
        return _decorated(definition, name, params)

    return decorate


if TYPE_CHECKING:
    from typing import Protocol

    class _Decorate(Protocol):
        @overload
        def __call__(self, definition: type[_T], /) -> type[_T]: ...  # type: ignore[overload-overlap]  # as above

        @overload
        def __call__(self, definition: Callable[..., object], /) -> type[LivePipeline]: ...


def _decorated(
    definition: object, name: str | None, model: type[BaseModel] | None
) -> type[LivePipeline]:
    if isinstance(definition, type):
        made = _of_class(cast("type[object]", definition), model)
    elif inspect.isfunction(definition):
        made = _of_function(definition, model)
    else:
        raise PipelineDefinitionError(
            f"@pipeline got a {type(definition).__name__}: decorate a function or a class, and name"
            " it as @pipeline(name=...)"
        )
    check_prepare(made)
    check_constructor(made, mend="give it a default, because the class is also made by its name")
    made.spec = PipelineSpec(
        kebab(made.__name__) if name is None else name, path_of(made), _params_path(made.Params)
    )
    if "." in made.__qualname__:
        warnings.warn(
            f"{made.__qualname__} is nested, where a process of its own cannot find it: define it"
            " at the top of its module",
            NestedPipelineWarning,
            stacklevel=3,
        )
    return made


def _of_function(
    function: Callable[..., object], model: type[BaseModel] | None
) -> type[LivePipeline]:
    if function.__name__ == "<lambda>":
        raise PipelineDefinitionError("@pipeline got a lambda: give it a name with def")
    return _derived(function, (ShortHooks,), {"transform": staticmethod(function), "Params": model})


def _of_class(cls: type[object], model: type[BaseModel] | None) -> type[LivePipeline]:
    if issubclass(cls, BaseModel):
        raise PipelineDefinitionError(
            f"{cls.__name__} is a Pydantic model: give it to another class or function as its"
            " params=, and the hooks to that one"
        )
    own = _model_of(cls)
    if model is not None and own is not None and own is not model:
        raise PipelineDefinitionError(
            f"{cls.__name__} has Params of its own, and the decorator has params={model.__name__}:"
            " keep one of them"
        )
    model = model or own
    if issubclass(cls, LivePipeline):
        return _of_pipeline(cls, model)
    if issubclass(cls, Pipeline):
        raise PipelineDefinitionError(
            f"{cls.__name__} is a batch Pipeline, which needs no @pipeline: serve it as it is"
        )
    _check_members(cls)
    return _derived(cls, (cls, ShortHooks), {"Params": model})


def _of_pipeline(cls: type[LivePipeline], model: type[BaseModel] | None) -> type[LivePipeline]:
    for hook in sorted(_SHORT):
        if not issubclass(cls, ShortHooks) and hasattr(cls, hook):
            raise PipelineDefinitionError(
                f"{cls.__name__} derives from LivePipeline, which never calls {hook}(): override"
                " its hooks (process_video and so on), or do not derive from it"
            )
    cls.Params = model
    return cls


def _check_members(cls: type[object]) -> None:
    if not hasattr(cls, "transform"):
        raise PipelineDefinitionError(
            f"{cls.__name__} has no transform(self, frame): define it, or derive the class from"
            " livepeer.runner.LivePipeline"
        )
    for name in vars(LivePipeline).keys() - _SHARED:
        if not name.startswith("_") and hasattr(cls, name):
            raise PipelineDefinitionError(
                f"{cls.__name__}.{name} would hide LivePipeline's: rename it, or derive the class"
                " from livepeer.runner.LivePipeline"
            )


def _method(cls: type[object], name: str) -> tuple[str, Callable[..., object], bool]:
    """How messages name a method, the method, and whether `self` is its first parameter."""
    bound = inspect.isfunction(inspect.getattr_static(cls, name))
    method: object = getattr(cls, name)
    if not callable(method):
        raise PipelineDefinitionError(f"{cls.__name__}.{name} is no method")
    # A decorated function is the `transform` of a class of its own name.
    own = getattr(method, "__name__", name) == cls.__name__
    return f"{cls.__name__}()" if own else f"{cls.__name__}.{name}()", method, bound


def _model_of(cls: type[object]) -> type[BaseModel] | None:
    own: object = getattr(cls, "Params", None)
    model = as_model(own)
    if own is not None and model is None:
        raise PipelineDefinitionError(
            f"{cls.__name__}.Params is no Pydantic model: derive it from livepeer.runner.BaseParams"
        )
    return model


def _derived(
    definition: type[object] | Callable[..., object],
    bases: tuple[type[object], ...],
    members: dict[str, object],
) -> type[LivePipeline]:
    """A class that stands where the definition stood."""
    place = {name: getattr(definition, name) for name in ("__module__", "__qualname__", "__doc__")}
    try:
        made = new_class(definition.__name__, bases, {}, lambda body: body.update(members | place))
    except PipelineDefinitionError:
        raise
    # What a metaclass of the author's refuses, as an enumeration does.
    except TypeError as error:
        raise PipelineDefinitionError(
            f"no pipeline can derive from {definition.__name__} ({error}): put the hooks into a"
            " plain class"
        ) from error
    assert issubclass(made, LivePipeline)
    return made


def _params_path(model: type[BaseModel] | None) -> str | None:
    # One that cannot be found by name comes with the class.
    return None if model is None or "<" in model.__qualname__ else path_of(model)


def _initial(model: type[BaseModel] | None, given: dict[str, Any]) -> dict[str, Any]:
    """Parameters before any stream; fields that only a caller can give are missing."""
    if model is None:
        return given
    try:
        return dict(model.model_validate(given))
    except ValidationError as error:
        if any(fault["type"] != "missing" for fault in error.errors()):
            raise
        return dict(model.model_construct(**given))


def _chosen(names: frozenset[str] | None, values: dict[str, Any]) -> dict[str, Any]:
    if names is None:
        return values
    return {name: value for name, value in values.items() if name in names}
