"""A default must itself be a value that the parameter takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, PydanticUndefined

from livepeer.runner._schema.annotations import shown
from livepeer.runner._schema.json_schema import nodes, schema_of
from livepeer.runner.errors import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import TypeAdapter
    from pydantic.fields import FieldInfo

    from livepeer.runner._schema.site import Site

_MAX_TEXT = 300


def check_default(
    site: Site, name: str, annotation: object, adapter: TypeAdapter[object], field: FieldInfo
) -> None:
    """Refuse a default that does not validate.

    A default is what the method sees, so it passes as that value, or when the JSON that it would
    be written as is read as the same value (`Base64Bytes`).

    Args:
        site: The method.
        name: The parameter.
        annotation: As the author wrote it.
        adapter: Of the whole field, with what stands in `Field(...)`.
        field: Has the default, or makes it.

    Raises:
        PipelineDefinitionError: It fits neither way, or cannot be made.
    """
    default = _default_of(site, name, field)
    if default is PydanticUndefined or default is ...:
        return
    try:
        reason = _misfit(adapter, default)
    except Exception as exc:  # noqa: BLE001 - validators are code of the author's
        reason = f"to check it raised {describe(exc, _MAX_TEXT)}"
    if reason is None:
        return
    secret = any(node.get("writeOnly") is True for node in nodes(schema_of(adapter, "validation")))
    told = "" if secret else f" {_written(default)}"
    raise site.refuse(
        f"the default{told} of parameter `{name}` does not fit its annotation {shown(annotation)}"
        f" ({reason}); change one of the two",
        name,
    )


def _written(value: object) -> str:
    try:
        return repr(value)[:_MAX_TEXT]
    except Exception:  # noqa: BLE001 - the author's class, whose text is code
        return f"(a {type(value).__name__})"


def _default_of(site: Site, name: str, field: FieldInfo) -> object:
    """What stands for a value that is not sent; undefined where that is seen with a request."""
    factory = cast("Callable[[], object] | None", field.default_factory)
    if factory is None:
        return cast("object", field.default)
    if field.default_factory_takes_validated_data:
        return PydanticUndefined
    try:
        return factory()
    except Exception as exc:  # the author's code
        raise site.refuse(
            f"the default_factory of parameter `{name}` raised {describe(exc, _MAX_TEXT)}; mend it,"
            " or write the default itself",
            name,
        ) from exc


def _misfit(adapter: TypeAdapter[object], default: object) -> str | None:
    """Why it does not fit; None when it does."""
    try:
        read = adapter.validate_python(default, strict=True)
    except ValidationError as exc:
        reason: str = exc.errors()[0]["msg"]
    else:
        # A text passes for a secret or a URL, and the method would get a text.
        same = type(read) is type(default) or read == default
        return None if same else f"a request makes a {type(read).__name__} of it"
    try:
        read = adapter.validate_json(adapter.dump_json(default, warnings=False), strict=True)
    except (ValidationError, PydanticSerializationError):
        return reason
    return None if read == default else reason
