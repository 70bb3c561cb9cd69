"""The parameters of one session: validated at the start, and merged and validated when updated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from livepeer.runner.errors import HookFailed, InvalidParams

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
            HookFailed: A validator of the author's raised what validators do not raise.
        """
        if self._model is None:
            return dict(values)
        try:
            return self._model.model_validate(values)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            known = ", ".join(self._model.model_fields)
            for fault in faults:
                if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
                    fault["msg"] = f"there is no such parameter; known are: {known}"
            fields = _fields([fault["loc"] for fault in faults])
            raise InvalidParams(f"the parameters do not fit: {fields}", faults) from None
        except Exception as error:
            # The author's validators are hooks as well.
            name = self._model.__name__
            raise HookFailed(f"validating {name} raised {type(error).__name__}") from error

    def accept(self, values: Mapping[str, JsonValue]) -> None:
        """Put values in force."""
        self._sent = dict(values)


def _fields(places: Sequence[tuple[str | int, ...]]) -> str:
    return ", ".join(".".join(map(str, place)) or "params" for place in places)
