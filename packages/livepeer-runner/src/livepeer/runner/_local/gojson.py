"""JSON as Go's `encoding/json` reads and writes it, where the wire shows the difference.

Go matches the keys of a struct without regard to letter case, ignores unknown keys, takes `null`
as "leave it", refuses a wrong type, and tells so in texts that go-livepeer puts into its answers.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

JSONValue: TypeAlias = "str | int | float | bool | list[JSONValue] | dict[str, JSONValue] | None"
Kind: TypeAlias = Literal["string", "int", "int64", "bool", "[]string", "struct"]

_INT64 = range(-(2**63), 2**63)


class GoJSONError(ValueError):
    """The text is not what Go would take; the message is Go's."""


def loads(data: bytes | str) -> JSONValue:
    """Parse one JSON document.

    Raises:
        GoJSONError: It is no JSON, with Go's message.
    """
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    try:
        value: JSONValue = json.loads(
            text, parse_int=_integer, parse_float=_decimal, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        raise GoJSONError(_syntax(error)) from None
    except RecursionError:
        raise GoJSONError("exceeded max depth") from None
    return _mend(value) if "\\ud" in text.lower() else value


def struct(data: bytes | str, go_type: str, fields: Mapping[str, Kind]) -> dict[str, JSONValue]:
    """Parse a document into the fields of a Go struct.

    Args:
        data: The document.
        go_type: The struct's name with its package, as it appears in Go's messages.
        fields: Kind of each field, by its JSON key.

    Returns:
        The fields that the document sets, under their own names.

    Raises:
        GoJSONError: No JSON, no object, or a field of the wrong type.
    """
    value = loads(data)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise GoJSONError(
            f"json: cannot unmarshal {_go_name(value)} into Go value of type {go_type}"
        )
    return pick(value, go_type.rpartition(".")[2], fields)


def pick(
    value: dict[str, JSONValue], go_type: str, fields: Mapping[str, Kind]
) -> dict[str, JSONValue]:
    """Take the known fields of an object; the last of several spellings of a key wins."""
    known = {key.casefold(): key for key in fields}
    found: dict[str, JSONValue] = {}
    for raw, item in value.items():
        key = known.get(raw.casefold())
        if key is None or item is None:
            continue
        _check(item, fields[key], f"{go_type}.{key}")
        found[key] = item
    return found


def dumps(value: JSONValue) -> bytes:
    """Write a document as Go does: keys sorted, no blanks, numbers as float64, `<>&` escaped."""
    text = json.dumps(_as_float64(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text.encode()


def _check(item: JSONValue, kind: Kind, where: str) -> None:
    if kind == "struct":
        fits = isinstance(item, dict)
    elif kind == "string":
        fits = isinstance(item, str)
    elif kind == "bool":
        fits = isinstance(item, bool)
    elif kind == "[]string":
        fits = isinstance(item, list) and all(x is None or isinstance(x, str) for x in item)
    else:
        fits = isinstance(item, int) and not isinstance(item, bool) and item in _INT64
    if not fits:
        literal = isinstance(item, int | float) and kind in ("int", "int64")
        what = f"number {item}" if literal and not isinstance(item, bool) else _go_name(item)
        raise GoJSONError(
            f"json: cannot unmarshal {what} into Go struct field {where} of type {kind}"
        )


def _go_name(value: JSONValue) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _integer(text: str) -> int | float:
    _decimal(text)
    return int(text)


def _decimal(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        shown = text if len(text) < 40 else text[:37] + "..."
        raise GoJSONError(f"json: cannot unmarshal number {shown} into Go value of type float64")
    return number


def _no_constant(name: str) -> float:
    raise GoJSONError(f"invalid character '{name[0]}' looking for beginning of value")


_AFTER = {
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after object key:value pair",
    "Expecting property name enclosed in double quotes": (
        "looking for beginning of object key string"
    ),
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
}


def _syntax(error: json.JSONDecodeError) -> str:
    char = error.doc[error.pos : error.pos + 1]
    if not char or error.msg.startswith("Unterminated string"):
        return "unexpected end of JSON input"
    after = _AFTER.get(error.msg.removesuffix(": "), "looking for beginning of value")
    quoted = {"'": "'\\''", '"': "'\"'"}.get(char, repr(char))
    return f"invalid character {quoted} {after}"


def _mend(value: JSONValue) -> JSONValue:
    """Replace lone surrogates, which cannot be encoded, by U+FFFD as Go does."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_mend(item) for item in value]
    if isinstance(value, dict):
        return {str(_mend(key)): _mend(item) for key, item in value.items()}
    return value


def _as_float64(value: JSONValue) -> JSONValue:
    """Round numbers to float64 and write whole ones without exponent up to 1e21."""
    if isinstance(value, list):
        return [_as_float64(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_float64(item) for key, item in value.items()}
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    number = float(value)
    if not number.is_integer() or abs(number) >= 1e21:
        return number
    # The shortest digits that give the same float64, filled up with zeros.
    return int(Decimal(repr(number)))
