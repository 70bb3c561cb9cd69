"""The parameters of one session: validated at the start, and merged and validated when updated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from livepeer.runner.errors import InvalidParams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel, JsonValue


class Parameters:
    """Parameters in force, and what they would be after an update.

    Args:
        model: The author's class; None takes any object as it is.
        defaults: Values below those that the caller sends.
    """

    def __init__(
        self, model: type[BaseModel] | None, defaults: Mapping[str, JsonValue] | None = None
    ) -> None:
        self._model = model
        self._sent: dict[str, JsonValue] = dict(defaults or {})

    def merged(self, update: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """What would be in force; an update names only what changes."""
        return {**self._sent, **update}

    def validated(self, values: Mapping[str, JsonValue]) -> Any:
        """What hooks get for these values: an instance of the model, or a mapping of their own.

        Raises:
            InvalidParams: A value does not fit; each error's `loc` begins with its field.
        """
        if self._model is None:
            return dict(values)
        try:
            return self._model.model_validate(values)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            fields = ", ".join(".".join(map(str, fault["loc"])) or "params" for fault in faults)
            raise InvalidParams(f"the parameters do not fit: {fields}", faults) from None

    def accept(self, values: Mapping[str, JsonValue]) -> None:
        """Put values in force."""
        self._sent = dict(values)
