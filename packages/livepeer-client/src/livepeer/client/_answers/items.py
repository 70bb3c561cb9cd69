"""What the events of a job mean: its items, its end, and what relays put between them. Pure.

Source: go-livepeer `byoc/job_orchestrator.go` and `byoc/job_gateway.go`, whose relays
- put an event with the sender's balance before the end,
- write newlines without end after a runner that ended its stream, announced or not,
- (gateway) write no blank line after `data: [DONE]` and then run the job again elsewhere,
- (gateway) take `[DONE]` for the end wherever in a line it stands.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from livepeer.client._wire.encoding import load_json
from livepeer.client._wire.sse import MAX_EVENT_BYTES, SSEEvent, SSEParser
from livepeer.client.errors import InvalidAnswer, PaymentRequiredError, RunnerError, StreamCut

from .refusals import detail_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livepeer.client._wire.encoding import JSONValue

DONE: Final = "[DONE]"

MAX_BLANK_LINES: Final = 1000
"""So many blank lines in a row are the relay's flood after a runner that ended its stream."""

_BALANCE = re.compile(r'\{"balance": -?\d+\.\d{3}\}')


class ItemReader:
    """Reads the bytes of a job's event stream as items.

    Args:
        url: What was asked, for the errors.
        through_gateway: A gateway is between us and the orchestrator.
        max_event_bytes: A larger item is an error.

    Attributes:
        done: The end was announced, and the connection is to be closed.
    """

    def __init__(
        self,
        *,
        url: str,
        through_gateway: bool = False,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        self.done = False
        self._url = url
        self._parser = SSEParser(
            end=DONE, end_anywhere=through_gateway, max_event_bytes=max_event_bytes
        )
        self._held: SSEEvent | None = None

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The texts of the items that `chunk` completes.

        Raises:
            RunnerError: The runner failed in the middle of its stream.
            PaymentRequiredError: The credit was used up.
            StreamCut: The stream was cut.
            InvalidAnswer: An item is larger than the limit.
        """
        for event in self._parser.feed(chunk):
            yield from self._read(event)
            if self.done:
                return
        if self._parser.ended:
            raise StreamCut(
                f"a gateway ends a stream at {DONE} inside of an item, and the rest is lost;"
                " the runner must escape it",
                url=self._url,
            )
        if self._parser.blank_lines > MAX_BLANK_LINES:
            raise self._cut()

    def end(self) -> None:
        """Tell that the connection ended.

        Raises:
            StreamCut: It did so before the end was announced.
        """
        if not self.done:
            raise self._cut()

    def _read(self, event: SSEEvent) -> Iterator[str]:
        # The relay's balance stands right before a line with the end marker in it. An item of the
        # runner's own that looks like one is therefore held until the next event is seen.
        held, self._held = self._held, None
        if held is not None and DONE not in event.data:
            yield held.data
        if event.data.strip() == DONE:
            self.done = True
        elif event.event == "error":
            raise RunnerError(detail_of(event.data), url=self._url)
        elif event.event == "insufficient balance":
            raise PaymentRequiredError("the credit for this capability is used up", url=self._url)
        elif event.event == "message" and _BALANCE.fullmatch(event.data):
            self._held = event
        else:
            yield event.data

    def _cut(self) -> StreamCut:
        return StreamCut(
            f"the stream ended without {DONE}: the runner broke off, or the job's timeout passed",
            url=self._url,
        )


class DataReader:
    """Reads a gateway's `/data` stream, which ends with its connection.

    At the end a gateway writes an empty event and then, with a backslash and an n instead of line
    breaks, text that is no event (go-livepeer `byoc/stream_gateway.go`); both are dropped. A line
    of 64 KiB or more makes it repeat the items before that one without end. They are given as they
    come, for equal items may be different ones, and nothing of them is kept.
    """

    def __init__(self, *, url: str) -> None:
        self._url = url
        self._parser = SSEParser()

    def feed(self, chunk: bytes) -> Iterator[dict[str, JSONValue]]:
        """The objects that `chunk` completes.

        Raises:
            InvalidAnswer: An event is no JSON object, or too large.
        """
        for event in self._parser.feed(chunk):
            if event.data:
                item = item_value(event.data)
                if not isinstance(item, dict):
                    raise InvalidAnswer("an item of data is no JSON object", url=self._url)
                yield item


def item_value(text: str) -> JSONValue:
    """The item of an event: JSON, or the text as it is when a runner sends no JSON."""
    try:
        return load_json(text)
    except ValueError:
        return text
