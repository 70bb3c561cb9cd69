"""What the commands read from their arguments, and errors of one line."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import typer

_BYTES = re.compile(r"(\d{1,15})([KMG]?)", re.ASCII)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def read_bytes(text: str, option: str) -> int:
    """Read a number of bytes: `65536`, `64K`, `4M`; the letters count in 1024.

    Raises:
        ValueError: It is none; the text names `option`.
    """
    match = _BYTES.fullmatch(text.upper())
    if match is None:
        raise ValueError(f"{option} is a number of bytes such as 65536, 64K or 4M, not {text!r}")
    return int(match[1]) * _UNITS[match[2]]


def check_url(url: str, *, channel: bool) -> None:
    """Refuse what is no URL of a server, or with `channel` no URL of a channel.

    Raises:
        ValueError: It is not.
    """
    parts = urlsplit(url)
    # The port is read, and refused, only when it is asked for.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(f"a URL begins with http:// or https:// and a host: {url!r}")
    if channel and not parts.path.strip("/"):
        raise ValueError(f"the URL lacks the name of a channel: {url.rstrip('/')}/NAME")


def failed(error: Exception, status: int) -> typer.Exit:
    """Print an error as one line on standard error; raise what is returned."""
    message = " ".join(str(error).split()) or type(error).__name__
    typer.echo(f"error: {message}", err=True)
    return typer.Exit(status)
