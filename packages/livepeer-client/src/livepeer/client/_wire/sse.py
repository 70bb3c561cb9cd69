"""Server-sent events, read incrementally. Pure.

The grammar is the HTML standard's. What the events of a job mean is known by
`livepeer.client._answers.items`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from livepeer.client.errors import InvalidAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, kw_only=True)
class SSEEvent:
    """One event.

    Attributes:
        data: Its `data` lines, joined with newlines.
        event: Its type; `message` when it names none.
        id: The last id seen in the stream.
    """

    data: str
    event: str = "message"
    id: str = ""


class SSEParser:
    """Takes bytes as they come, cut anywhere, and gives the events that are complete.

    Args:
        end: A `data` line of exactly this text ends the stream: it is given as an event at once,
            although no blank line follows, and nothing after it is read. None for no such line.
        end_anywhere: Any line that holds `end` ends the stream in this way.
        max_event_bytes: A larger event, or line, is an error.

    Attributes:
        ended: The ending line was seen.
        blank_lines: How many blank lines in a row were seen last.
    """

    def __init__(
        self,
        *,
        end: str | None = None,
        end_anywhere: bool = False,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        self.ended = False
        self.blank_lines = 0
        self._end = end
        self._end_anywhere = end_anywhere
        self._max_bytes = max_event_bytes
        self._buffer = bytearray()
        self._scanned = 0
        self._at_start = True
        self._after_cr = False
        self._data: list[str] = []
        self._size = 0
        self._event = ""
        self._id = ""

    def feed(self, chunk: bytes) -> Iterator[SSEEvent]:
        """The events that `chunk` completes.

        Raises:
            InvalidAnswer: An event is larger than `max_event_bytes`.
        """
        self._buffer += chunk
        while not self.ended and (line := self._next_line()) is not None:
            event = self._take(line)
            if event is not None:
                yield event
        if self._size + len(self._buffer) > self._max_bytes:
            raise InvalidAnswer(f"an event is larger than {self._max_bytes} bytes")

    def _next_line(self) -> bytes | None:
        # The line ended with the \r of a \r\n, perhaps in an earlier chunk.
        if self._after_cr and self._buffer:
            if self._buffer[0] == 0x0A:
                del self._buffer[0]
            self._after_cr = False
        match = _LINE_END.search(self._buffer, self._scanned)
        if match is None:
            self._scanned = len(self._buffer)
            return None
        line, end = bytes(self._buffer[: match.start()]), match.end()
        self._after_cr = match.group() == b"\r"
        del match  # it holds an export of the buffer, which could not be shortened then
        del self._buffer[:end]
        self._scanned = 0
        if self._at_start:
            line = line.removeprefix(_BOM)
            self._at_start = False
        return line

    def _take(self, line: bytes) -> SSEEvent | None:
        if not line:
            self.blank_lines += 1
            return self._dispatch()
        self.blank_lines = 0
        name, _, value = line.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
                self._size += len(line)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case _:  # comments, `retry` and what is unknown
                pass
        if self._is_end(name, value):
            self.ended = True
            return self._dispatch()
        return None

    def _is_end(self, name: str, value: str) -> bool:
        if self._end is None:
            return False
        if self._end_anywhere:
            return self._end in name or self._end in value
        return name == "data" and value.strip() == self._end and len(self._data) == 1

    def _dispatch(self) -> SSEEvent | None:
        data, event = self._data, self._event
        self._data, self._event, self._size = [], "", 0
        if not data:
            return None
        return SSEEvent(data="\n".join(data), event=event or "message", id=self._id)
