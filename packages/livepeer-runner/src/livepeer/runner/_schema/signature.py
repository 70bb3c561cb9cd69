"""Read signatures once, at start, and refuse every mistake that can be seen then."""

from __future__ import annotations

import functools
import inspect
from types import NoneType
from typing import TYPE_CHECKING, get_args

from livepeer.runner._schema.adapters import adapter_of, extra_of
from livepeer.runner._schema.annotations import (
    bare,
    item_of,
    members_of,
    metadata_of,
    read_kind,
    resolve,
)
from livepeer.runner._schema.body import read_body
from livepeer.runner._schema.contract import Contract
from livepeer.runner._schema.forms import form_fields
from livepeer.runner._schema.json_schema import schema_of
from livepeer.runner._schema.names import names_taken
from livepeer.runner._schema.receivers import check_receiver
from livepeer.runner._schema.routes import endpoints_of
from livepeer.runner._schema.site import Site
from livepeer.runner.files import OCTETS, ContentType, File

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer.runner.batch import Pipeline

_NO_FIELD = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY)


def contracts_of(pipeline: Pipeline) -> list[Contract]:
    """The contracts of all that callers may call: `predict()`, then what `@endpoint` marks.

    Raises:
        PipelineDefinitionError: A signature or a path cannot be served as it is written; the text
            names the class, the line and the mend.
    """
    marked = endpoints_of(type(pipeline))
    named = [_read(pipeline, method, path) for method, path in marked.items()]
    return [read_contract(pipeline), *named]


def read_contract(pipeline: Pipeline) -> Contract:
    """Derive the contract of a pipeline from its `predict()`.

    Raises:
        PipelineDefinitionError: The signature cannot be served; the text names the class, the
            parameter, its file and line, and the mend.
    """
    return _read(pipeline, "predict", "/predict")


def _read(pipeline: Pipeline, method: str, path: str) -> Contract:
    function: Callable[..., object] = getattr(pipeline, method)
    site = Site(type(pipeline), method, function)
    check_receiver(site)
    try:
        signature = inspect.signature(function)
    except (NameError, ValueError, TypeError) as exc:
        raise site.refuse(
            f"it has no readable signature: {exc}; it needs `self` and named parameters"
        ) from exc
    parameters = [_resolved(site, one) for one in signature.parameters.values()]
    returns = resolve(site, "return", signature.return_annotation)
    kind = read_kind(site, returns)
    result = item_of(returns) if kind.streams else returns
    result_adapter = adapter_of(site, "return", result, "serialization")
    body = read_body(site, parameters)
    body_adapter = adapter_of(site, "", body.model, "validation")
    return Contract(
        owner=type(pipeline).__name__,
        method=method,
        path=path,
        summary=_summary(function),
        body=body.model,
        extra=extra_of(body_adapter),
        whole=body.whole,
        default=body.default,
        fields=body.fields,
        form=form_fields(schema_of(body_adapter, "validation")),
        taken=names_taken(function, body.fields),
        annotated=not parameters or any(map(_is_annotated, parameters)),
        result=result,
        result_adapter=result_adapter,
        raw=None if kind.streams else _raw(returns),
        nothing=NoneType in get_args(returns),
        streams=kind.streams,
        blocking=kind.blocking,
    )


def _resolved(site: Site, parameter: inspect.Parameter) -> inspect.Parameter:
    if parameter.kind in _NO_FIELD:
        star = "*" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else ""
        raise site.refuse(
            f"parameter `{star}{parameter.name}` is only positional, but a request has fields by"
            " name; give it a name of its own, without `*` or `/`",
            parameter.name,
        )
    if parameter.annotation is inspect.Parameter.empty:
        return parameter
    return parameter.replace(annotation=resolve(site, parameter.name, parameter.annotation))


def _is_annotated(parameter: inspect.Parameter) -> bool:
    return parameter.annotation is not inspect.Parameter.empty


def _summary(function: Callable[..., object]) -> str:
    text = function.__doc__ or ""
    return "" if text == functools.partial.__doc__ else inspect.cleandoc(text)


def _raw(returns: object) -> str | None:
    """The content type of an answer that is bytes, or perhaps nothing, and not JSON."""
    found = [_raw_alone(one) for one in members_of(returns)]
    if not found or None in found:
        return None
    return found[0] if len(set(found)) == 1 else OCTETS


def _raw_alone(returns: object) -> str | None:
    inner = bare(returns)
    if inner is not bytes and not (isinstance(inner, type) and issubclass(inner, File)):
        return None
    said = metadata_of(returns)
    media_type = next((one.media_type for one in said if isinstance(one, ContentType)), None)
    # Bytes that have a form of their own in JSON, as `Base64Bytes` have.
    encoded = inner is bytes and any(hasattr(one, "__get_pydantic_core_schema__") for one in said)
    return media_type or (None if encoded else OCTETS)
