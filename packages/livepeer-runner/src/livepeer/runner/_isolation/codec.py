"""Messages between two processes, as bytes."""

from __future__ import annotations

import json
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

JSONObject: TypeAlias = dict[str, Any]
"""What JSON has."""

M = TypeVar("M")


def to_json(values: JSONObject) -> bytes:
    """An author's or a caller's values, in which numbers may be of any size and text is not always
    Unicode; json.loads gives them back.

    Raises:
        ValueError: They are nested too deeply, or not JSON.
    """
    try:
        return json.dumps(values).encode()
    except RecursionError:
        raise ValueError("they are nested too deeply") from None
    except TypeError as error:
        raise ValueError(str(error)) from None


class Message(msgspec.Struct, array_like=True, tag=True):
    """One is decoded only if each field has its type: what runs in the model is not trusted."""


class NoMessage(Exception):
    """What came is no message; the peer cannot be understood any more."""


class Codec(Generic[M]):
    """The messages that two processes know.

    Args:
        messages: The union of their classes.
    """

    def __init__(self, messages: type[M]) -> None:
        self._encoder: Final = msgspec.msgpack.Encoder()
        self._decoder: Final = msgspec.msgpack.Decoder(messages)

    def encode(self, message: M) -> bytes:
        """The bytes of a message.

        Raises:
            ValueError: It has a number of more than 64 bits, or half of a character.
        """
        try:
            return self._encoder.encode(message)
        except OverflowError as error:
            raise ValueError(str(error)) from None

    def decode(self, data: bytes) -> M:
        """The message in bytes.

        Raises:
            NoMessage: They are none, or a field of it has not its type.
        """
        try:
            return self._decoder.decode(data)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise NoMessage(f"this is no message: {error}") from None
