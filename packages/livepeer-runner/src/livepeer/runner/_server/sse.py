"""Server-sent events as the orchestrator's relay needs them; pure.

The relay (go-livepeer `byoc/job_orchestrator.go`) reads lines. It ends silently at a line of more
than 65 535 bytes, and takes any line with `[DONE]` in it, wherever, for the end. Hence no line of
ours is longer, and the marker stands in no line but the last.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LINE_BYTES = 65_535
"""Longest line without its newline that the relay passes on."""

DONE = b"data: [DONE]\n\n"
"""The last event of every stream."""

_DATA = b"data: "
_ERROR = b"event: error\n"
_CUT = 1000
_ROOM = MAX_LINE_BYTES - len(_DATA)

# JSON tokens: a string, a piece of structure, or a run of anything else (number, literal).
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[,:\[\]{}]|[^",:\[\]{}]+')


class UnsplittableItem(ValueError):
    """One JSON string or number alone is longer than a line may be."""


def event(payload: bytes) -> bytes:
    """Frame one compact JSON text as an event.

    A text that is too long for a line goes over several `data:` lines, broken between tokens; the
    reader joins them with a newline, which means nothing to JSON there.

    Raises:
        UnsplittableItem: One token alone does not fit a line.
    """
    # Inside JSON the marker can stand in a string only, where the escape means the same.
    payload = payload.replace(b"[DONE]", b"\\u005bDONE]")
    if len(payload) <= _ROOM:
        return _DATA + payload + b"\n\n"
    return b"".join(_DATA + line + b"\n" for line in _split(payload)) + b"\n"


def error_event(problem: Mapping[str, object]) -> bytes:
    """Frame an error that happened after the headers were sent.

    Args:
        problem: What a body would say; a `detail` that no line can hold is cut.
    """
    try:
        return _ERROR + event(_json(problem))
    except UnsplittableItem:
        return _ERROR + event(_json({**problem, "detail": str(problem["detail"])[:_CUT]}))


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _split(payload: bytes) -> list[bytes]:
    lines: list[bytes] = []
    start = end = 0
    for match in _TOKEN.finditer(payload):
        if match.end() - match.start() > _ROOM:
            raise UnsplittableItem(
                f"an item holds a value of {match.end() - match.start()} bytes, and a line of a"
                f" stream may have {_ROOM}; yield it in smaller parts"
            )
        if match.end() - start > _ROOM:
            lines.append(payload[start:end])
            start = end
        end = match.end()
    lines.append(payload[start:])
    return lines
