"""URLs of trickle channels, as bodies of requests name them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_channel = parts.scheme in ("http", "https") and bool(parts.hostname)
        # Read for what it raises: a port that is no number, or too large.
        _ = parts.port
    except ValueError:
        is_channel = False
    else:
        is_channel = is_channel and bool(parts.path.strip("/"))
    if not is_channel:
        raise PydanticCustomError(
            "channel_url", "Input should be a channel's URL, like http://127.0.0.1:8888/NAME"
        )
    return url


ChannelURL = Annotated[str, AfterValidator(_checked)]
"""An http or https URL with a host and a path."""
