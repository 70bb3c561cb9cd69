"""Read the signature of `predict()` once, and refuse every mistake that can be seen then."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.errors import PydanticUserError

from livepeer.runner._schema.annotations import item_of, resolve, stream_kind
from livepeer.runner._schema.contract import Contract
from livepeer.runner._schema.defaults import check_default
from livepeer.runner.errors import PipelineDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer.runner.batch import Pipeline

_NO_FIELD = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY)


def read_contract(pipeline: Pipeline) -> Contract:
    """Derive the contract of a pipeline from its `predict()`.

    Raises:
        PipelineDefinitionError: The signature cannot be served; the text names the class, the
            parameter and the mend.
    """
    owner = type(pipeline).__name__
    predict = pipeline.predict
    try:
        signature = inspect.signature(predict)
    except (NameError, ValueError) as exc:
        raise PipelineDefinitionError(
            f"{owner}.predict() has no readable signature: {exc}; it needs `self` and named"
            " parameters"
        ) from exc
    parameters = [_resolved(owner, predict, p) for p in signature.parameters.values()]
    returns = resolve(owner, predict, "return", signature.return_annotation)
    streams, result = stream_kind(predict, returns), returns
    if streams:
        result = item_of(returns)
    whole = _whole_body(parameters)
    if whole is None:
        body, fields = _derived_model(owner, parameters)
    else:
        body, fields = whole[1], dict[str, str]()
    return Contract(
        owner=owner,
        summary=inspect.cleandoc(predict.__doc__ or ""),
        body=body,
        whole=whole[0] if whole else None,
        fields=fields,
        annotated=any(p.annotation is not inspect.Parameter.empty for p in parameters),
        result=result,
        result_adapter=_adapter(owner, "the return annotation", result),
        streams=streams,
        blocking=not (inspect.iscoroutinefunction(predict) or inspect.isasyncgenfunction(predict)),
    )


def _resolved(
    owner: str, predict: Callable[..., object], parameter: inspect.Parameter
) -> inspect.Parameter:
    if parameter.kind in _NO_FIELD:
        star = "*" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else ""
        raise PipelineDefinitionError(
            f"{owner}.predict(): parameter `{star}{parameter.name}` is only positional, but a"
            " request has fields by name; give it a name of its own, without `*` or `/`"
        )
    if parameter.annotation is inspect.Parameter.empty:
        return parameter
    return parameter.replace(
        annotation=resolve(owner, predict, parameter.name, parameter.annotation)
    )


def _whole_body(parameters: list[inspect.Parameter]) -> tuple[str, type[BaseModel]] | None:
    """The one parameter that is a model, and so receives the body as it is."""
    if len(parameters) != 1 or parameters[0].kind is inspect.Parameter.VAR_KEYWORD:
        return None
    annotation: object = parameters[0].annotation
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return parameters[0].name, annotation
    return None


def _derived_model(
    owner: str, parameters: list[inspect.Parameter]
) -> tuple[type[BaseModel], dict[str, str]]:
    """Make the model of bare parameters: the name of each is the name of its field."""
    fields: dict[str, str] = {}
    definitions: dict[str, Any] = {}  # create_model()'s own type
    extra: Any = None
    for parameter in parameters:
        unannotated = parameter.annotation is inspect.Parameter.empty
        annotation: Any = Any if unannotated else parameter.annotation
        _adapter(owner, f"parameter `{parameter.name}`", annotation)
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            extra = annotation
            continue
        check_default(owner, parameter.name, annotation, parameter.default)
        field = _field_name(parameter.name)
        fields[parameter.name] = field
        definitions[field] = (annotation, _field_default(parameter.default))
    parameter_of = {field: parameter for parameter, field in fields.items()}
    config = ConfigDict(
        title=f"{owner}Request",
        extra="forbid" if extra is None else "allow",
        protected_namespaces=(),
        alias_generator=lambda field: parameter_of.get(field, field),
    )
    if extra is None:
        return create_model(f"{owner}Request", __config__=config, **definitions), fields
    # Values of `**kwargs` are validated by its annotation.
    base = type(
        "_Extra",
        (BaseModel,),
        {
            "__annotations__": {"__pydantic_extra__": dict[str, extra]},
            "__module__": __name__,
            "model_config": config,
        },
    )
    model: type[BaseModel] = create_model(f"{owner}Request", __base__=base, **definitions)
    return model, fields


def _field_name(parameter: str) -> str:
    """Keep clear of names that mean something to BaseModel, such as `json` and `copy`."""
    if parameter.startswith("_") or hasattr(BaseModel, parameter):
        return f"field_{parameter.lstrip('_')}"
    return parameter


def _field_default(default: object) -> object:
    if default is inspect.Parameter.empty:
        return Field()  # and not `...`, which would hide a default inside `Annotated`
    if isinstance(default, bytes):
        # Pydantic would document the decoded bytes, or fail where they are no text.
        return Field(default_factory=lambda: default)
    return default


def _adapter(owner: str, where: str, annotation: Any) -> TypeAdapter[object]:
    try:
        return TypeAdapter(annotation)
    except (PydanticUserError, TypeError) as exc:
        raise PipelineDefinitionError(
            f"{owner}.predict(): {where} is {annotation!r}, which JSON cannot carry;"
            " use JSON types, Pydantic models, or `Base64Bytes` for binary"
        ) from exc
