"""Header names and encodings of the BYOC wire, in one place. Pure.

Source: go-livepeer `byoc/types.go`, `byoc/utils.go`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias, cast
from urllib.parse import quote, urlsplit, urlunsplit

from livepeer.client.errors import ConfigError, InvalidAnswer, InvalidJob

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import DataclassInstance

JSONValue: TypeAlias = "str | int | float | bool | list[JSONValue] | dict[str, JSONValue] | None"
"""What a JSON document can hold, as Python reads it."""

JOB: Final = "Livepeer"
ETH_ADDRESS: Final = "Livepeer-Eth-Address"
CAPABILITY: Final = "Livepeer-Capability"
PAYMENT: Final = "Livepeer-Payment"

BALANCE: Final = "Livepeer-Balance"
EVENTS_BALANCE: Final = "Livepeer-Payment-Balance"
METADATA: Final = "X-Metadata"
ORCHESTRATOR_URL: Final = "X-Orchestrator-Url"

CONTROL_URL: Final = "X-Control-Url"
EVENTS_URL: Final = "X-Events-Url"
PUBLISH_URL: Final = "X-Publish-Url"
SUBSCRIBE_URL: Final = "X-Subscribe-Url"
DATA_URL: Final = "X-Data-Url"

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""The largest answer, or event of one, that is read into memory, unless a client says another."""

KEEP_ALIVE: Final = {"keep": "alive"}

# Made once: that costs as much as writing a small document.
_PLAIN: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_HEADER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def dump_json(value: object, what: str) -> str:
    """Write compact JSON, ASCII only, so that no encoding on the way can change a signed byte.

    Raises:
        InvalidJob: `value` holds something that JSON cannot say; the text names `what`.
    """
    try:
        return _PLAIN.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJob(f"`{what}` cannot be written as JSON: {error}") from error


def load_json(text: str | bytes) -> JSONValue:
    """Read one JSON document.

    Raises:
        ValueError: It is none.
    """
    try:
        if isinstance(text, bytes) and text.startswith(b'{"'):
            # UTF-8 and nothing else; `json.loads` would look for each other encoding first.
            text = text.decode("utf-8", "surrogatepass")
        return cast("JSONValue", json.loads(text))
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error


def json_object(body: bytes, what: str, url: str) -> dict[str, JSONValue]:
    """Read one JSON document that is an object.

    Raises:
        InvalidAnswer: It is none; the text names `what`.
    """
    try:
        fields = load_json(body)
    except ValueError as error:
        raise InvalidAnswer(f"{what} is not JSON", url=url) from error
    if not isinstance(fields, dict):
        raise InvalidAnswer(f"{what} is no JSON object", url=url)
    return fields


def encode_header(fields: Mapping[str, object]) -> str:
    """The value of `Livepeer` and `Livepeer-Eth-Address`: JSON in padded standard base64.

    The URL-safe alphabet, or no padding, is refused by the other side.
    """
    return base64.b64encode(_HEADER.encode(fields).encode()).decode()


def base_url(url: str, what: str) -> str:
    """Check the address of a node and write it without a trailing slash.

    Raises:
        ConfigError: It has no `http` or `https` scheme or no host, or it has a query.
    """
    if not _usable(url):
        raise ConfigError(
            f"`{what}` must be a URL such as http://127.0.0.1:8935, not {_shown(url)!r}"
        )
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ConfigError(f"`{what}` must have neither query nor fragment: {redact(url)!r}")
    return url.rstrip("/")


def service_url(url: str, what: str) -> str:
    """Check the address of a signer or a discovery service; without a scheme it is https.

    Raises:
        ConfigError: It is no `http` or `https` URL.
    """
    whole = url if "://" in url else f"https://{url}"
    if not _usable(whole):
        raise ConfigError(
            f"`{what}` must be a URL such as https://example.com, not {_shown(url)!r}"
        )
    return whole


def _usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _shown(url: str) -> str:
    # Not by its parts: it may have none.
    return url.rpartition("@")[2].partition("?")[0]


@lru_cache(maxsize=256)
def redact(url: str) -> str:
    """The URL without what may be secret in it: user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return _shown(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def without_secrets(value: DataclassInstance) -> str:
    """The representation of a dataclass whose URLs may hold secrets, for its `__repr__`."""
    shown = [each.name for each in fields(value) if each.repr]
    text = ", ".join(f"{name}={_redacted(getattr(value, name))!r}" for name in shown)
    return f"{type(value).__name__}({text})"


def _redacted(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(_redacted(each) for each in cast("tuple[object, ...]", value))
    return redact(value) if isinstance(value, str) and "://" in value else value


def on_host(url: str, base: str) -> str:
    """`url` with the scheme and the host of `base`.

    An orchestrator hands out channel URLs with the host that its runners use
    (`-liveAITrickleHostForRunner`, or a name inside a container network), which a caller
    elsewhere cannot reach; the host that answered it can.

    Raises:
        InvalidAnswer: `url` is none.
    """
    try:
        path = urlsplit(url)
    except ValueError as error:
        raise InvalidAnswer(
            "the orchestrator names a channel by no URL", url=redact(base)
        ) from error
    node = urlsplit(base)
    return urlunsplit((node.scheme, node.netloc, path.path, path.query, ""))


def route_path(route: object) -> str:
    """The runner's path, percent-encoded as the orchestrator needs it.

    Go answers 301 to a path that is not canonical, upon which clients send a GET; and the
    orchestrator drops a query, or makes one of an encoded question mark.

    Raises:
        InvalidJob: The route is no text, or has empty, `.` or `..` parts, or a query.
    """
    path = _encoded_path(route) if isinstance(route, str) else None
    if path is None:
        raise InvalidJob(f"`route` must be a plain path such as 'predict', not {route!r}")
    return path


@lru_cache(maxsize=256)
def _encoded_path(route: str) -> str | None:
    parts = route.strip("/").split("/")
    if any(part in ("", ".", "..") for part in parts) or set(route) & set("?#"):
        return None
    try:
        return "/".join(quote(part, safe="") for part in parts)
    except UnicodeEncodeError:
        return None
