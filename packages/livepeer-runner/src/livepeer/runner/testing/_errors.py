"""What a test learns of a call that the runner did not serve."""

from __future__ import annotations


class Refused(Exception):
    """The runner refused a call, or a stream's start or update.

    Attributes:
        status: The HTTP status.
        body: Its answer, JSON with a `detail`.
    """

    def __init__(self, verb: str, status: int, body: str) -> None:
        super().__init__(f"{verb} was answered {status}: {body}")
        self.status = status
        self.body = body


class StreamFailed(Exception):
    """A stream of items told of an error, or ended too early.

    Attributes:
        body: What the error event says, JSON with a `detail`; or a text.
    """

    def __init__(self, body: str) -> None:
        super().__init__(f"the stream failed: {body}")
        self.body = body
