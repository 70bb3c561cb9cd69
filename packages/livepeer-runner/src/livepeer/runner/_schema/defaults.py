"""A default must itself be a value that the parameter takes."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, PydanticUndefined

from livepeer.runner.errors import PipelineDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable


def check_default(owner: str, name: str, annotation: Any, default: object) -> None:
    """Refuse a default that does not validate.

    A default is what `predict()` sees, so it passes either as that value or as the JSON that it
    would be written as (`Base64Bytes`, tuples).

    Raises:
        PipelineDefinitionError: It fits neither way.
    """
    if isinstance(default, FieldInfo):
        default = default.default
    if default is inspect.Parameter.empty or default is PydanticUndefined or default is ...:
        return
    adapter: TypeAdapter[object] = TypeAdapter(annotation)
    checks: tuple[Callable[[], object], ...] = (
        lambda: adapter.validate_python(default, strict=True),
        lambda: adapter.validate_json(adapter.dump_json(default, warnings=False), strict=True),
    )
    reason = ""
    for check in checks:
        try:
            check()
        except (ValidationError, PydanticSerializationError) as exc:
            reason = reason or _first(exc)
        else:
            return
    raise PipelineDefinitionError(
        f"{owner}.predict(): the default {default!r} of parameter `{name}` does not fit its"
        f" annotation {annotation!r} ({reason}); change one of the two"
    )


def _first(exc: ValidationError | PydanticSerializationError) -> str:
    return exc.errors()[0]["msg"] if isinstance(exc, ValidationError) else str(exc)
