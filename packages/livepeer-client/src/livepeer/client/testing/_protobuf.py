"""Protobuf's wire format by field numbers, so that the fakes read and write it on their own.

Source: https://protobuf.dev/programming-guides/encoding/ ; the numbers are those of go-livepeer's
`net/lp_rpc.proto`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5
_LIMIT: Final = 1 << 64


class Message:
    """The fields of a message, by number; of a field that comes more than once, the last counts."""

    def __init__(self, raw: bytes = b"") -> None:
        """Reads all of `raw`.

        Raises:
            ValueError: It is no message.
        """
        self.raw = raw
        self._fields: dict[int, list[int | bytes]] = {}
        at = 0
        while at < len(raw):
            key, at = _read_varint(raw, at)
            value, at = _read_value(raw, at, key & 7)
            if key >> 3 == 0:
                raise ValueError("field number 0")
            self._fields.setdefault(key >> 3, []).append(value)

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def number(self, number: int) -> int:
        """An integer, 0 when absent; read as `int64`."""
        value = self._fields.get(number, [0])[-1]
        if not isinstance(value, int):
            raise ValueError(f"field {number} is no number")
        return value - _LIMIT if value >= _LIMIT >> 1 else value

    def data(self, number: int) -> bytes:
        """Bytes, empty when absent."""
        value = self._fields.get(number, [b""])[-1]
        if not isinstance(value, bytes):
            raise ValueError(f"field {number} is no bytes")
        return value

    def text(self, number: int) -> str:
        """A string, empty when absent."""
        return self.data(number).decode()

    def message(self, number: int) -> Message:
        """A message, an empty one when absent: ask with `in` first where that matters."""
        return Message(self.data(number))

    def messages(self, number: int) -> list[Message]:
        """A repeated message, or the entries of a map: key in field 1, value in field 2."""
        return [
            Message(value) for value in self._fields.get(number, []) if isinstance(value, bytes)
        ]

    def numbers(self, number: int) -> list[int]:
        """A repeated integer, packed or not."""
        found: list[int] = []
        for value in self._fields.get(number, []):
            if isinstance(value, int):
                found.append(value)
                continue
            at = 0
            while at < len(value):
                one, at = _read_varint(value, at)
                found.append(one)
        return found


def encode(fields: Mapping[int, object]) -> bytes:
    """A message of fields by number.

    Integers, strings and bytes are left out when they are zero or empty, as proto3 has it; None is
    an absent message, a list a repeated message or string, of which empty ones are kept.
    """
    return b"".join(_encode_field(number, value) for number, value in fields.items())


class Sub(bytes):
    """An encoded message: written also when it is empty."""

    __slots__ = ()


def _encode_field(number: int, value: object) -> bytes:
    match value:
        case None | 0 | "" | False:
            return b""
        case int():
            return _varint(number << 3 | _VARINT) + _varint(value % _LIMIT)
        case str():
            return _encode_bytes(number, value.encode())
        case Sub():
            return _encode_bytes(number, value)
        case bytes():
            return _encode_bytes(number, value) if value else b""
        case list() | tuple():
            return b"".join(_encode_item(number, item) for item in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case _:
            raise TypeError(f"field {number}: {type(value).__name__}")


def _encode_item(number: int, item: object) -> bytes:
    raw = item.encode() if isinstance(item, str) else item
    if not isinstance(raw, bytes):
        raise TypeError(f"field {number}: a repeated {type(item).__name__}")
    return _encode_bytes(number, raw)


def _encode_bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if at >= len(raw):
            raise ValueError("the message ends within a number")
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value % _LIMIT, at
    raise ValueError("a number of more than ten bytes")


def _read_value(raw: bytes, at: int, kind: int) -> tuple[int | bytes, int]:
    if kind == _VARINT:
        return _read_varint(raw, at)
    if kind == _BYTES:
        size, at = _read_varint(raw, at)
    elif kind in (_FIXED64, _FIXED32):
        size = 8 if kind == _FIXED64 else 4
    else:
        raise ValueError(f"wire type {kind}")
    if at + size > len(raw):
        raise ValueError("the message ends within a field")
    return raw[at : at + size], at + size
