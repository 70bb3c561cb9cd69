"""The model of a request body: the author's own, or one made of bare parameters."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from livepeer.runner._schema.adapters import adapter_of
from livepeer.runner._schema.annotations import bare
from livepeer.runner._schema.defaults import check_default

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livepeer.runner._schema.site import Site


class Body(NamedTuple):
    """How a body becomes arguments.

    Attributes:
        model: What the body is validated by.
        whole: The parameter that receives it as it is; None when it is unpacked.
        default: Has what `whole` is when there is no body; None where that is refused.
        fields: Parameter to field of the model.
    """

    model: type[BaseModel]
    whole: str | None
    default: FieldInfo | None
    fields: dict[str, str]


def read_body(site: Site, parameters: Sequence[inspect.Parameter]) -> Body:
    """The body that a method takes, from its resolved parameters.

    Raises:
        PipelineDefinitionError: A parameter cannot be a field, or its default does not fit.
    """
    whole = _whole_body(parameters)
    if whole is None:
        return _derived(site, parameters)
    parameter, model = whole
    said = get_args(parameter.annotation)[1:]
    if any(hasattr(one, "__get_pydantic_core_schema__") for one in said):
        raise site.refuse(
            f"parameter `{parameter.name}` is the whole body, and a validator at it would not be"
            f" asked; write it in {model.__name__}, as a model_validator",
            parameter.name,
        )
    field = _checked_field(site, parameter, parameter.annotation)
    return Body(model, parameter.name, None if field.is_required() else field, {})


def _whole_body(
    parameters: Sequence[inspect.Parameter],
) -> tuple[inspect.Parameter, type[BaseModel]] | None:
    """The one parameter that is a model, and so receives the body as it is."""
    if len(parameters) != 1 or parameters[0].kind is inspect.Parameter.VAR_KEYWORD:
        return None
    model = bare(parameters[0].annotation)
    if inspect.isclass(model) and issubclass(model, BaseModel):
        return parameters[0], model
    return None


def _derived(site: Site, parameters: Sequence[inspect.Parameter]) -> Body:
    """Make the model of bare parameters: the name of each is the name of its field."""
    fields: dict[str, str] = {}
    definitions: dict[str, Any] = {}  # create_model()'s own type
    extra: Any = None
    taken = {parameter.name for parameter in parameters}
    for parameter in parameters:
        unannotated = parameter.annotation is inspect.Parameter.empty
        annotation: Any = Any if unannotated else parameter.annotation
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            adapter_of(site, parameter.name, annotation, "validation")
            extra = annotation
            continue
        _checked_field(site, parameter, annotation)
        field = _field_name(parameter.name, taken)
        taken.add(field)
        fields[parameter.name] = field
        definitions[field] = (annotation, _field_default(parameter.default))
    return Body(_model(site, fields, definitions, extra), None, None, fields)


def _checked_field(site: Site, parameter: inspect.Parameter, annotation: Any) -> FieldInfo:
    """What a parameter is as a field, with what stands in `Field(...)` and in `Annotated`.

    Raises:
        PipelineDefinitionError: It cannot be one, or its default does not fit.
    """
    default: object = parameter.default
    written = isinstance(default, FieldInfo)
    whole: Any = Annotated[annotation, default] if written else annotation
    adapter = adapter_of(site, parameter.name, whole, "validation")
    if default is inspect.Parameter.empty:
        field = FieldInfo.from_annotation(annotation)
    else:
        field = FieldInfo.from_annotated_attribute(annotation, default)
    check_default(site, parameter.name, annotation, adapter, field)
    return field


def _model(
    site: Site, fields: dict[str, str], definitions: dict[str, Any], extra: Any
) -> type[BaseModel]:
    parameter_of = {field: parameter for parameter, field in fields.items()}
    name = f"{site.owner.__name__}{_title(site.method)}Request"
    config = ConfigDict(
        title=name,
        extra="forbid" if extra is None else "allow",
        protected_namespaces=(),
        alias_generator=lambda field: parameter_of.get(field, field),
    )
    if extra is None:
        return create_model(name, __config__=config, **definitions)
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
    model: type[BaseModel] = create_model(name, __base__=base, **definitions)
    return model


def _title(method: str) -> str:
    return "" if method == "predict" else method.title().replace("_", "")


def _field_name(parameter: str, taken: set[str]) -> str:
    """Keep clear of names that mean something to BaseModel, such as `json` and `copy`."""
    if not parameter.startswith("_") and not hasattr(BaseModel, parameter):
        return parameter
    name = f"field_{parameter.lstrip('_')}"
    while name in taken:
        name = f"{name}_"
    return name


def _field_default(default: object) -> object:
    if default is inspect.Parameter.empty:
        return Field()  # and not `...`, which would hide a default inside `Annotated`
    if isinstance(default, bytes):
        # Pydantic would document the decoded bytes, or fail where they are no text.
        return Field(default_factory=lambda: default)
    # A value as it is would become a member of the class, and perhaps mean something there.
    return default if isinstance(default, FieldInfo) else Field(default)
