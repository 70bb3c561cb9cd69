"""What can go wrong on a trickle channel.

```
TrickleError
├── ChannelError            the channel as a whole
│   ├── ChannelNotFound     (LookupError)      no such channel, or no longer
│   ├── ChannelClosed       (EOFError)         closed while we wrote to it
│   ├── ChannelRefused      (PermissionError)  the server does not let us have it
│   └── ChannelUnreachable  (ConnectionError)  the path was away for longer than the retries allow
├── SegmentError            one segment; the channel may go on
│   ├── SegmentRejected                        the server refused it, with a status
│   ├── SegmentTruncated    (ConnectionError)  the body was cut before its end, in or out
│   ├── SegmentTimeout      (TimeoutError)     nobody took the bytes in time
│   └── SegmentAborted                         we gave it up ourselves
├── MessageError            (ValueError)       a JSON channel: not one object, or too large
├── Refused                 (PermissionError)  a no with a reason, for `authorize` to raise
└── MediaError              (ValueError)       what was read is no media that we can handle
```

Every error names the URL that was attempted and says by `retryable` whether the same attempt can
succeed later.
"""

from __future__ import annotations

import re


def redact(url: str) -> str:
    """The URL without a user and a password."""
    # The last "@" before the path ends what a URL says about its user.
    return re.sub(r"(?<=//)[^/?#]*@", "", url)


class TrickleError(Exception):
    """Root of everything that `livepeer.trickle` raises on purpose."""

    retryable: bool = False

    def __init__(self, message: str, *, url: str = "", status: int | None = None) -> None:
        url = redact(url)
        super().__init__(f"{message} ({url})" if url else message)
        self.url = url
        self.status = status


class ChannelError(TrickleError):
    """The channel as a whole cannot be used."""


class ChannelNotFound(ChannelError, LookupError):
    """The server does not know the channel."""


class ChannelClosed(ChannelError, EOFError):
    """The channel was closed while we wrote to it."""


class ChannelRefused(ChannelError, PermissionError):
    """The server does not let us have the channel; its status says why."""


class ChannelUnreachable(ChannelError, ConnectionError):
    """The server could not be reached for longer than the retries allow."""

    retryable = True


class SegmentError(TrickleError):
    """One segment failed; the channel may go on."""


class SegmentRejected(SegmentError):
    """The server refused a segment, or ended it before we did."""

    def __init__(self, message: str, *, url: str = "", status: int | None = None) -> None:
        super().__init__(message, url=url, status=status)
        self.retryable = status is not None and status >= 500


class SegmentTruncated(SegmentError, ConnectionError):
    """The body of a segment was cut before its end, while we read or wrote it."""

    retryable = True


class SegmentTimeout(SegmentError, TimeoutError):
    """The server did not take the bytes of a segment in time."""


class SegmentAborted(SegmentError):
    """We gave the segment up ourselves."""


class MessageError(TrickleError, ValueError):
    """A message that is not one JSON object, or is larger than the limit."""


class Refused(TrickleError, PermissionError):
    """What a server's `authorize` raises to say no with a reason and a status of its own.

    Args:
        message: The reason; the caller is told.
        status: Any 4xx.
    """

    def __init__(self, message: str, *, status: int = 403) -> None:
        if not 400 <= status < 500:
            raise ValueError(f"status={status}: a refusal is a 4xx")
        super().__init__(message, status=status)
        self.refusal: int = status


class MediaError(TrickleError, ValueError):
    """What was read is no media that we can handle."""
