"""What `serve()` was given: an instance, a class or a spec, and where it is to run."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, TypeAlias

from livepeer.runner._definition import (
    check_batch_hooks,
    check_constructor,
    check_frames_in_flight,
    check_hooks,
    check_prepare,
)
from livepeer.runner.batch import Pipeline
from livepeer.runner.errors import PipelineDefinitionError
from livepeer.runner.live import LivePipeline
from livepeer.runner.spec import PipelineSpec, kebab, path_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Literal

    from pydantic import BaseModel, JsonValue

    Servable: TypeAlias = Pipeline | LivePipeline | PipelineSpec | type[object]
    """What `serve()` takes. A class is `type[object]`, because a type checker does not see what
    `@pipeline` makes of a plain one; at run time it has to be a pipeline's."""


_BASES = (Pipeline, LivePipeline)


class ServeTarget:
    """One pipeline, not yet made where it was given by its class or its name.

    Attributes:
        name: The capability's name, as given; the class's name where none was.
        isolated: The hooks run in a process of their own, which imports `spec`.
        spec: How the class is imported; None for an instance that was not made by a spec.
        pooled: It answers calls in several processes, which import `spec`.
        initial_params: Values below those that the caller of a stream sends.
    """

    def __init__(
        self,
        name: str,
        *,
        spec: PipelineSpec | None,
        isolated: bool = False,
        pooled: bool = False,
        named: bool = True,
        made_of: type[Pipeline | LivePipeline] | Pipeline | LivePipeline | None = None,
    ) -> None:
        self.name = name
        self.spec = spec
        self.isolated = isolated
        self.pooled = pooled
        self._named = named
        self._made_of = made_of

    @property
    def capability(self) -> str:
        """The name to register: the given one as it is, that of a class in kebab case."""
        return self.name if self._named else kebab(self.name)

    @property
    def live(self) -> bool:
        """Whether it takes streams; imports the class, unless that is another process's."""
        return self.isolated or issubclass(self.load(), LivePipeline)

    @property
    def initial_params(self) -> Mapping[str, JsonValue]:
        """Values below those that the caller of a stream sends."""
        return {} if self.spec is None else self.spec.initial_params

    @property
    def description(self) -> str:
        """What the class says of itself; nothing while it is not imported here."""
        own = None if self._made_of is None else vars(self.load()).get("__doc__")
        return inspect.cleandoc(own or "")

    def load(self) -> type[Pipeline | LivePipeline]:
        """The class; its module is imported when it is first asked for, and no instance made.

        Raises:
            PipelineDefinitionError: It does not load, or is no pipeline's.
        """
        if self._made_of is None:
            assert self.spec is not None
            return pipeline_class(self.spec.load())
        return self._made_of if isinstance(self._made_of, type) else type(self._made_of)

    def pipeline(self) -> Pipeline | LivePipeline:
        """The instance; made, and its module imported, when it is first asked for.

        Of what is pooled it is one whose constructor has not run: for what the class says.

        Raises:
            PipelineDefinitionError: The class does not load, or its constructor failed.
        """
        if isinstance(self._made_of, type):
            self._made_of = _shape(self._made_of) if self.pooled else make(self._made_of)
        elif self._made_of is None:
            assert self.spec is not None
            self._made_of = load_pipeline(self.spec)
        return self._made_of


def resolve(
    target: Servable | ServeTarget,
    isolation: Literal["auto", "thread", "process"] = "auto",
    workers: int = 1,
) -> ServeTarget:
    """Decide what is served and where its hooks run.

    With `auto` a spec runs in a process of its own, and a class or an instance on a thread of this
    one. Batch pipelines run here, or in as many processes as there are `workers` where these are
    more than one.

    Raises:
        PipelineDefinitionError: It is no pipeline, or cannot run where it should.
    """
    if isinstance(target, ServeTarget):
        return target
    if isinstance(target, PipelineSpec):
        return _resolve_spec(target, isolation, workers)
    if isinstance(target, type):
        return _resolve_class(pipeline_class(target), isolation, workers)
    cls = pipeline_class(type(target))
    if workers > 1 and not issubclass(cls, LivePipeline):
        raise PipelineDefinitionError(
            f"an instance of {cls.__name__} cannot be in {workers} processes: hand over the class"
            f" ({cls.__name__}), or leave `workers` at 1"
        )
    if issubclass(cls, LivePipeline) and isolation == "process":
        raise PipelineDefinitionError(
            f"an instance of {cls.__name__} cannot run in a process of its own: hand over the class"
            f" ({cls.__name__}) or a PipelineSpec"
        )
    _check(target)
    own = vars(target).get("spec", vars(cls).get("spec"))
    spec = own if isinstance(own, PipelineSpec) else None
    name = spec.name if spec else cls.__name__
    return ServeTarget(name, spec=spec, named=spec is not None, made_of=target)


def spec_of(cls: type[LivePipeline]) -> PipelineSpec:
    """How another process imports this class: as the decorator said, or by its own name."""
    # Not an inherited one, which would name the class above.
    own = vars(cls).get("spec")
    if isinstance(own, PipelineSpec):
        return own
    return PipelineSpec(kebab(cls.__name__), path_of(cls))


def load_pipeline(spec: PipelineSpec) -> Pipeline | LivePipeline:
    """Import what a spec names and make it; its `Params` and `spec` are those of the spec.

    Raises:
        PipelineDefinitionError: It does not load, is no pipeline, or the constructor failed.
    """
    pipeline = make(pipeline_class(spec.load()))
    if isinstance(pipeline, LivePipeline):
        # Of this instance: the class may have others of its own.
        vars(pipeline)["spec"] = spec
        if (model := spec.load_params()) is not None:
            vars(pipeline)["Params"] = model
        check_initial_params(spec, pipeline.Params)
    return pipeline


def make(cls: type[Pipeline | LivePipeline], where: str = "") -> Pipeline | LivePipeline:
    """Call the constructor.

    Args:
        cls: The class.
        where: Where it is defined (` in pipeline.py`), for messages.

    Raises:
        PipelineDefinitionError: A method is missing, or the constructor wants arguments or failed,
            or what it made cannot be served.
    """
    check_constructor(cls, where)
    try:
        made = cls()
    except (Exception, SystemExit) as error:
        raise PipelineDefinitionError(
            f"{cls.__name__}(){where} failed: {type(error).__name__}: {error}"
        ) from error
    _check(made)
    return made


def pipeline_class(cls: type[object]) -> type[Pipeline | LivePipeline]:
    """The class, when it is a pipeline's.

    Raises:
        PipelineDefinitionError: It is not; the text names the mend.
    """
    if not issubclass(cls, _BASES):
        raise _no_pipeline(cls)
    return cls


def prepare_hook(
    cls: type[Pipeline | LivePipeline],
) -> Callable[[], Awaitable[None] | None] | None:
    """The class's `prepare_models()`; None where it has none that does something.

    Raises:
        PipelineDefinitionError: It cannot be called on the class.
    """
    own: object = inspect.getattr_static(cls, "prepare_models", None)
    ours = (inspect.getattr_static(base, "prepare_models", None) for base in _BASES)
    if own is None or any(own is one for one in ours):
        return None
    check_prepare(cls)
    hook: Callable[[], Awaitable[None] | None] = getattr(cls, "prepare_models")  # noqa: B009
    return hook


def prepares_models(cls: type[Pipeline | LivePipeline]) -> bool:
    """Whether the class has a `prepare_models()` that does something; as `prepare_hook`."""
    return prepare_hook(cls) is not None


def check_initial_params(spec: PipelineSpec, model: type[BaseModel] | None) -> None:
    """See that initial parameters fit; fields that a caller has to give may be missing.

    Raises:
        PipelineDefinitionError: They do not; the text names each field.
    """
    if model is None:
        return
    from pydantic import ValidationError

    try:
        model.model_validate(spec.initial_params)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors()
            if fault["type"] != "missing"
        ]
        if faults:
            raise PipelineDefinitionError(
                f"initial_params of {spec.name} do not fit {model.__name__}: {'; '.join(faults)}"
            ) from None


def _resolve_spec(
    spec: PipelineSpec, isolation: Literal["auto", "thread", "process"], workers: int
) -> ServeTarget:
    check_initial_params(spec, spec.load_params())
    if isolation != "thread":
        return ServeTarget(spec.name, spec=spec, isolated=True)
    if workers > 1:
        cls = pipeline_class(spec.load())
        if issubclass(cls, Pipeline):
            _check(cls)
            return ServeTarget(spec.name, spec=spec, pooled=True, made_of=cls)
    return ServeTarget(spec.name, spec=spec)


def _check(pipeline: Pipeline | LivePipeline | type[Pipeline]) -> None:
    if isinstance(pipeline, LivePipeline):
        check_frames_in_flight(pipeline)
        check_hooks(pipeline)
    else:
        check_batch_hooks(pipeline)


def _resolve_class(
    cls: type[Pipeline | LivePipeline],
    isolation: Literal["auto", "thread", "process"],
    workers: int,
) -> ServeTarget:
    check_constructor(cls)
    if not issubclass(cls, LivePipeline):
        return _resolve_batch(cls, pooled=workers > 1)
    check_frames_in_flight(cls)
    check_hooks(cls)
    spec = spec_of(cls)
    named = spec is vars(cls).get("spec")
    name = spec.name if named else cls.__name__
    isolated = isolation == "process"
    if isolated:
        _check_findable(cls, spec.pipeline_cls)
    return ServeTarget(name, spec=spec, isolated=isolated, named=named, made_of=cls)


def _resolve_batch(cls: type[Pipeline], *, pooled: bool) -> ServeTarget:
    spec = None
    if pooled:
        path = path_of(cls)
        _check_findable(cls, path)
        _check(cls)
        spec = PipelineSpec(kebab(cls.__name__), path)
    return ServeTarget(cls.__name__, spec=spec, pooled=pooled, named=False, made_of=cls)


def _check_findable(cls: type[object], path: str) -> None:
    if "<" in path:
        raise PipelineDefinitionError(
            f"{cls.__name__} is defined inside a function, where a process of its own cannot find"
            " it: move it to the top of its module, or give what `adapt()` made a name there, as in"
            f" `class {cls.__name__}Served(adapt({cls.__name__})): ...`"
        )


def _shape(cls: type[Pipeline | LivePipeline]) -> Pipeline | LivePipeline:
    return cls.__new__(cls)


def _no_pipeline(cls: type[object]) -> PipelineDefinitionError:
    return PipelineDefinitionError(
        f"a {cls.__name__} cannot be served: derive the class from livepeer.runner.Pipeline or"
        " LivePipeline, or decorate it with @pipeline"
    )
