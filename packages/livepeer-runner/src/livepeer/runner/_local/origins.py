"""Who may use the local network's trickle channels: programs, and pages of this machine."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


def from_this_machine(operation: str, channel: str, headers: Mapping[str, str]) -> bool:
    """Refuse what a browser sends for a page from elsewhere.

    A loopback port is in reach of every page that is open on the machine. go-livepeer's nodes need
    no such guard: they listen to the world, and a channel's name is their secret.
    """
    del operation, channel
    origin = headers.get("Origin")
    return origin is None or _is_loopback(urlsplit(origin).hostname or "")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
