"""JSON messages as trickle channels carry them: objects and lines, to bytes and back. Pure.

Source: go-livepeer `byoc/trickle.go`, `server/ai_live_video.go`. A reader of events parses a whole
segment as one document; a line of data never spans segments, and one of 64 KiB or more makes the
gateway read its segment again and again, so it is refused here.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from .errors import MessageError

if TYPE_CHECKING:
    from collections.abc import Mapping

KEEP_ALIVE = {"keep": "alive"}
MAX_MESSAGE_BYTES = 1024 * 1024
MAX_LINE_BYTES = 64 * 1024 - 1


def encode_message(message: Mapping[str, object]) -> bytes:
    """One JSON object as compact ASCII without a line break in it.

    Raises:
        MessageError: It holds something that JSON cannot say, such as NaN or bytes.
    """
    try:
        return json.dumps(dict(message), separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise MessageError(f"the message is not JSON: {error}") from error


def within(body: bytes, limit: int, what: str) -> bytes:
    """The same bytes, when there are not too many.

    Raises:
        MessageError: There are more than `limit`; `what` names them.
    """
    if len(body) > limit:
        raise MessageError(
            f"the {what} has {len(body)} bytes, and the limit is {limit}: send less, or split it"
        )
    return body


def decode_message(data: bytes) -> dict[str, object]:
    """Read one JSON object.

    Raises:
        MessageError: It is no JSON (which has no NaN and no Infinity), or not an object.
    """
    try:
        message: object = json.loads(data, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"the message is not JSON: {error}") from error
    if not isinstance(message, dict):
        raise MessageError(f"the message is a JSON {type(message).__name__}, not an object")
    return {str(key): value for key, value in message.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _finite(text: str) -> float:
    # 1e999 has the form of a number, and Python makes an infinity of it.
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:32]} is no finite number")
    return number
