"""Header names and encodings of the BYOC wire, in one place. Pure.

Source: go-livepeer `byoc/types.go`, `byoc/utils.go`.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final, TypeAlias, cast
from urllib.parse import quote, urlsplit, urlunsplit

from .errors import ConfigError, InvalidJob

if TYPE_CHECKING:
    from collections.abc import Mapping

JSONValue: TypeAlias = "str | int | float | bool | list[JSONValue] | dict[str, JSONValue] | None"
"""What a JSON document can hold, as Python reads it."""

JOB: Final = "Livepeer"
ETH_ADDRESS: Final = "Livepeer-Eth-Address"
CAPABILITY: Final = "Livepeer-Capability"
PAYMENT: Final = "Livepeer-Payment"

BALANCE: Final = "Livepeer-Balance"
METADATA: Final = "X-Metadata"
ORCHESTRATOR_URL: Final = "X-Orchestrator-Url"

CONTROL_URL: Final = "X-Control-Url"
EVENTS_URL: Final = "X-Events-Url"
PUBLISH_URL: Final = "X-Publish-Url"
SUBSCRIBE_URL: Final = "X-Subscribe-Url"
DATA_URL: Final = "X-Data-Url"

KEEP_ALIVE: Final = {"keep": "alive"}


def dump_json(value: object, what: str) -> str:
    """Write compact JSON, ASCII only, so that no encoding on the way can change a signed byte.

    Raises:
        InvalidJob: `value` holds something that JSON cannot say; the text names `what`.
    """
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJob(f"`{what}` cannot be written as JSON: {error}") from error


def load_json(text: str | bytes) -> JSONValue:
    """Read one JSON document.

    Raises:
        ValueError: It is none.
    """
    try:
        return cast("JSONValue", json.loads(text))
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error


def encode_header(fields: Mapping[str, object]) -> str:
    """The value of `Livepeer` and `Livepeer-Eth-Address`: JSON in padded standard base64.

    The URL-safe alphabet, or no padding, is refused by the other side.
    """
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(text.encode()).decode()


def base_url(url: str, what: str) -> str:
    """Check the address of a node and write it without a trailing slash.

    Raises:
        ConfigError: It has no `http` or `https` scheme or no host, or it has a query.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"`{what}` must be a URL such as http://127.0.0.1:8935, not {url!r}")
    if parts.query or parts.fragment:
        raise ConfigError(f"`{what}` must have neither query nor fragment: {redact(url)!r}")
    return url.rstrip("/")


def redact(url: str) -> str:
    """The URL without what may be secret in it: user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def on_host(url: str, base: str) -> str:
    """`url` with the scheme and the host of `base`.

    An orchestrator hands out channel URLs with the host that its runners use
    (`-liveAITrickleHostForRunner`, or a name inside a container network), which a caller
    elsewhere cannot reach; the host that answered it can.
    """
    path = urlsplit(url)
    node = urlsplit(base)
    return urlunsplit((node.scheme, node.netloc, path.path, path.query, ""))


def route_path(route: str) -> str:
    """The runner's path, percent-encoded as the orchestrator needs it.

    Go answers 301 to a path that is not canonical, upon which clients send a GET; and the
    orchestrator drops a query, or makes one of an encoded question mark.

    Raises:
        InvalidJob: The route has empty, `.` or `..` parts, or a query.
    """
    parts = route.strip("/").split("/")
    if any(part in ("", ".", "..") for part in parts) or set(route) & set("?#"):
        raise InvalidJob(f"`route` must be a plain path such as 'predict', not {route!r}")
    return "/".join(quote(part, safe="") for part in parts)
