"""Validators and serializers of an author's annotations."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.warnings import UnsupportedFieldAttributeWarning
from pydantic_core import SchemaError

from livepeer.runner._schema.annotations import shown
from livepeer.runner._schema.constraints import lost_keyword, misplaced_constraint
from livepeer.runner._schema.content_types import misplaced_content_type
from livepeer.runner._schema.json_schema import nodes, schema_of
from livepeer.runner._schema.qualifiers import parts_of, qualifier_in
from livepeer.runner.errors import describe

if TYPE_CHECKING:
    from livepeer.runner._schema.site import Site

_WEB = frozenset({"fastapi", "starlette"})
_MAX_TEXT = 300


def adapter_of(
    site: Site, name: str, annotation: Any, mode: Literal["validation", "serialization"]
) -> TypeAdapter[object]:
    """The adapter of a parameter, of what a method gives back (`return`), or of the whole body.

    Args:
        site: The method.
        name: The parameter, `return`, or nothing for the body.
        annotation: What it is, evaluated.
        mode: Whether it comes in or goes out.

    Raises:
        PipelineDefinitionError: JSON cannot carry it, or nobody could document it.
    """
    said = f"{_subject(name)} is {shown(annotation)}"
    no_type = _no_type(annotation)
    if no_type is not None:
        raise site.refuse(f"{said}, {no_type}", name)
    try:
        with warnings.catch_warnings():
            # Such as `deprecated`, which is the field's that is made of it afterwards.
            warnings.simplefilter("ignore", UnsupportedFieldAttributeWarning)
            adapter: TypeAdapter[object] = TypeAdapter(annotation)
        schema_of(adapter, mode)
    except Exception as exc:  # an annotation may run any code of the author's
        raise site.refuse(f"{said}, which {_reason(exc)}", name) from exc
    lost = _lost_limit(adapter.core_schema) if mode == "validation" else None
    if lost is not None:
        raise site.refuse(f"{said}, and {lost}", name)
    return adapter


def _lost_limit(core_schema: object) -> str | None:
    """Why a limit would not do what it says, and the mend; None where all do."""
    misplaced = misplaced_constraint(core_schema)
    if misplaced is None:
        return lost_keyword(core_schema)
    return (
        f"{misplaced}: every request with one would fail; take it away, or put it at the type that"
        " it is for, as in `Annotated[int, Field(ge=1)] | str`"
    )


def _no_type(annotation: object) -> str | None:
    """Why what is annotated is nothing that is sent, and the mend; None where it is."""
    qualifier = qualifier_in(annotation)
    if qualifier is not None:
        return f"and {qualifier}"
    if any(_of_web(part) for part in parts_of(annotation)):
        return (
            "of a web framework, and no request is at hand here; use livepeer.runner.files.File for"
            " an upload, and `Pipeline.router` for routes that need the request"
        )
    return misplaced_content_type(annotation)


def _reason(exc: Exception) -> str:
    """Why an annotation is of no use, and the mend."""
    if isinstance(exc, ImportError):
        return f"needs a package that is not there: {_in_a_line(exc)}"
    if isinstance(exc, (PydanticUserError, NameError)) or type(exc) is TypeError:
        # That one only repeats the annotation, and advises on models of which there is none.
        known = isinstance(exc, PydanticSchemaGenerationError)
        reason = "" if known else f" ({_in_a_line(exc)})"
        return (
            f"JSON cannot carry{reason}; use JSON types, Pydantic models, or for binary"
            " `Base64Bytes` or livepeer.runner.files.File"
        )
    kind = "" if isinstance(exc, SchemaError) else f"{type(exc).__name__}: "
    return (
        f"cannot be read or documented ({kind}{_in_a_line(exc)}); mend that in it, or use another"
        " type"
    )


def extra_of(adapter: TypeAdapter[object]) -> Literal["forbid"] | None:
    """Whether unknown fields are refused wherever they stand.

    They are, unless a model in it says what becomes of them: then every model is as it is written,
    for Pydantic would put this over what they say.
    """
    return None if _says_extra(adapter.core_schema) else "forbid"


def _of_web(part: object) -> bool:
    """Whether it is a web framework's class or mark; those that are fields are Pydantic's too."""
    kind = part if isinstance(part, type) else type(part)
    return kind.__module__.partition(".")[0] in _WEB and not issubclass(kind, FieldInfo)


def _subject(name: str) -> str:
    if not name:
        return "the model of the body"
    return "the return annotation" if name == "return" else f"parameter `{name}`"


def _says_extra(schema: object) -> bool:
    for node in nodes(schema):
        if {node.get("extra_fields_behavior"), node.get("extra_behavior")} & {"allow", "ignore"}:
            return True
    return False


def _in_a_line(exc: Exception) -> str:
    """What an error says, without where in a schema it was met and what Pydantic advises on."""
    text = describe(exc).partition(": ")[2].rpartition("SchemaError: ")[2]
    return " ".join(text.partition("\n\nFor further")[0].split())[:_MAX_TEXT].rstrip(".")
