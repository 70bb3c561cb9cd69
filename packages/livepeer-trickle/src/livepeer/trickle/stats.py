"""What publishers, subscribers and servers count. Snapshots: they do not change once taken."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class PublisherStats:
    """Counts of one publisher since it began.

    Attributes:
        segments: Segments that the server has whole, by its own word.
        bytes: Bytes handed to the network.
        retries: Attempts after the first, of segments of which nothing had been sent.
        lost: Segments that bytes were written to and that did not arrive whole.
    """

    segments: int = 0
    bytes: int = 0
    retries: int = 0
    lost: int = 0


@dataclass(slots=True)
class SubscriberStats:
    """Counts of one subscriber since it began.

    Attributes:
        segments: Segments handed out.
        bytes: Bytes handed out.
        retries: Requests made again because one failed.
        resumed: Bodies that were cut or fell silent and were taken up again, without a loss.
        missed: Segments that the server no longer held when they were asked for.
    """

    segments: int = 0
    bytes: int = 0
    retries: int = 0
    resumed: int = 0
    missed: int = 0


@dataclass(slots=True)
class ServerStats:
    """Counts of one server.

    Attributes:
        channels: Channels at this moment.
        publishers: Segments that are being published or connected ahead, at this moment.
        subscribers: Segments that are being read or waited for, at this moment.
        segments: Segments received whole.
        bytes_in: Bytes received.
        bytes_out: Bytes sent.
        refused: Requests turned away by a limit or by `authorize`.
    """

    channels: int = 0
    publishers: int = 0
    subscribers: int = 0
    segments: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    refused: int = 0
