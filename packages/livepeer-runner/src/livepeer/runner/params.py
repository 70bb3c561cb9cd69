"""The base class of a pipeline's parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class BaseParams(BaseModel):
    """Parameters that a caller may set; derive from it and annotate the fields.

    An unknown key is refused by its name. A whole number that the network turned into a float
    (`5.0`) fits wherever `5` does: in integers, enumerations and literals, nested ones too.

    ```python
    class EdgeParams(BaseParams):
        threshold: float = Field(0.1, ge=0, le=1)
        steps: int = 1
    ```
    """

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _take_whole_floats(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError:
            whole = _whole(data)
            # Compared by type as well, for 5.0 == 5: without a change the same error comes again.
            if repr(whole) == repr(data):
                raise
            return handler(whole)


def _whole(value: object) -> object:
    """The value with every float that is a whole number as an integer."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list):
        return [_whole(item) for item in cast("list[object]", value)]
    return value
