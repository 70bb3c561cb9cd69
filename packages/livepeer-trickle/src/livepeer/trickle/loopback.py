"""Servers that only this machine shall use."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


def is_loopback(host: str) -> bool:
    """Whether a host, by name or address, is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def from_this_machine(operation: str, channel: str, headers: Mapping[str, str]) -> bool:
    """For `TrickleServer(authorize=...)` on loopback: refuse what comes from pages of elsewhere.

    Every page that is open in a browser of the machine reaches a loopback port. A page's own origin
    is in `Origin`, and a name that was made to lead here is in `Host`.
    """
    del operation, channel
    origin, host = headers.get("Origin"), headers.get("Host")
    return (origin is None or is_loopback(_host(origin))) and (
        host is None or is_loopback(_host("//" + host))
    )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
