"""A JSON object read as strictly, and as leniently, as Go reads one into a struct.

Letter case of keys does not count, unknown keys are ignored, null is the zero value, and a value of
another type is an error.
"""

from __future__ import annotations

import base64
import json
from typing import Final, cast

_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (bool, "bool"),
    (int, "number"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
)


class GoObject:
    """The fields of one object; every read gives the zero value for what is absent."""

    def __init__(self, value: object, name: str = "") -> None:
        """`value`: parsed JSON; `name`: how errors call the struct.

        Raises:
            ValueError: It is no object.
        """
        if value is not None and not isinstance(value, dict):
            raise ValueError(f"json: cannot unmarshal {_kind(value)} into Go value of type {name}")
        self._name = name
        fields = cast("dict[str, object]", value or {})
        self._fields = {key.lower(): field for key, field in fields.items()}

    @classmethod
    def parse(cls, raw: bytes, name: str = "") -> GoObject:
        """Read a body; raises ValueError with a text like Go's."""
        try:
            value: object = json.loads(raw)
        except ValueError as error:
            text = "EOF" if not raw.strip() else f"invalid character: {error}"
            raise ValueError(text) from error
        return cls(value, name)

    def __contains__(self, key: str) -> bool:
        return self._fields.get(key.lower()) is not None

    def raw(self, key: str) -> object:
        """The value as JSON has it; None when absent."""
        return self._fields.get(key.lower())

    def text(self, key: str) -> str:
        """A string."""
        value = self.raw(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, value, "string")
        return value or ""

    def number(self, key: str) -> int:
        """An integer; a fraction is an error."""
        value = self.raw(key)
        if value is not None and type(value) is not int:
            raise self._wrong(key, value, "int")
        return value or 0

    def data(self, key: str) -> bytes:
        """Bytes in standard, padded base64."""
        try:
            return base64.b64decode(self.text(key), validate=True)
        except ValueError as error:
            raise ValueError(f"illegal base64 data in field {key}") from error

    def child(self, key: str) -> GoObject:
        """An object within."""
        return GoObject(self.raw(key), f"{self._name}.{key}")

    def _wrong(self, key: str, value: object, kind: str) -> ValueError:
        text = f"json: cannot unmarshal {_kind(value)} into Go struct field {self._name}.{key}"
        return ValueError(f"{text} of type {kind}")


def _kind(value: object) -> str:
    for kind, name in _KINDS:
        if isinstance(value, kind):
            return name
    return "object"
