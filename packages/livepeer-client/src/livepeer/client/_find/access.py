"""Access tokens: where the network is and what opens it, in one line of text.

The form is that of the `livepeer-gateway` package, so that one token serves both.
"""

from __future__ import annotations

import base64
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livepeer.client._wire.encoding import base_url, load_json, service_url, without_secrets
from livepeer.client.errors import ConfigError

from .discovery import DiscoveryURL, ListSource, SignerSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from livepeer.client._wire.encoding import JSONValue

    from .discovery import Discovers, OrchestratorSource


@dataclass(frozen=True, kw_only=True)
class AccessToken:
    """What an access token says.

    Attributes:
        orchestrators: URLs, tried in this order.
        signer: The URL of a remote signer; None for none.
        signer_headers: Sent to the signer and nowhere else. Kept out of the representation, for
            they are secret.
        discovery: The URL of a discovery service; None for none.
        discovery_headers: Sent to that service and nowhere else.
    """

    orchestrators: tuple[str, ...] = ()
    signer: str | None = None
    signer_headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    discovery: str | None = None
    discovery_headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def __repr__(self) -> str:
        return without_secrets(self)


def parse_access_token(token: str) -> AccessToken:
    """Read an access token: JSON in padded standard base64.

    Raises:
        ConfigError: It is none, or a field is not what it should be. No part of it is in the text.
    """
    fields: JSONValue = None
    with suppress(ValueError):
        fields = load_json(base64.b64decode(token.strip(), validate=True))
    # Raised outside of it: a chained error would quote the token.
    if not isinstance(fields, dict):
        raise ConfigError("`access_token` must be a JSON object in base64; copy all of it")
    orchestrators = fields.get("orchestrators")
    return AccessToken(
        orchestrators=tuple(_orchestrators(orchestrators)) if orchestrators else (),
        signer=_url(fields, "signer"),
        signer_headers=_headers(fields, "signer_headers"),
        discovery=_url(fields, "discovery"),
        discovery_headers=_headers(fields, "discovery_headers"),
    )


def choose_source(
    *,
    token: AccessToken | None = None,
    orchestrators: Sequence[str] = (),
    discovery: str | OrchestratorSource | None = None,
    discovery_headers: Mapping[str, str] | None = None,
    signer: Discovers | None = None,
) -> OrchestratorSource | None:
    """Where orchestrators are from, of all that was given; None where nothing names any.

    The first of: the token's list, the caller's, the token's discovery service, the caller's, the
    signer. Headers go to the service that they were given for and to no other.

    Args:
        token: An access token.
        orchestrators: URLs, tried in this order.
        discovery: The URL of a discovery service, or any other source.
        discovery_headers: Sent to `discovery`.
        signer: A remote signer, which may list orchestrators too.

    Raises:
        ConfigError: A URL is none.
    """
    token = token or AccessToken()
    if token.orchestrators or orchestrators:
        return ListSource(token.orchestrators or orchestrators)
    if token.discovery is not None:
        return DiscoveryURL(token.discovery, headers=token.discovery_headers)
    if isinstance(discovery, str):
        return DiscoveryURL(discovery, headers=discovery_headers)
    if discovery is not None:
        return discovery
    return None if signer is None else SignerSource(signer)


def _orchestrators(value: JSONValue) -> list[str]:
    urls = [url for url in value if isinstance(url, str)] if isinstance(value, list) else []
    if not isinstance(value, list) or len(urls) != len(value):
        raise ConfigError("`orchestrators` of the access token must be a list of URLs")
    return [base_url(service_url(url, "orchestrators"), "orchestrators") for url in urls]


def _url(fields: dict[str, JSONValue], key: str) -> str | None:
    value = fields.get(key)
    if not value:
        return None
    if not isinstance(value, str):
        raise ConfigError(f"`{key}` of the access token must be a URL")
    return service_url(value, key)


def _headers(fields: dict[str, JSONValue], key: str) -> dict[str, str]:
    value = fields.get(key) or {}
    if not isinstance(value, dict):
        raise ConfigError(f"`{key}` of the access token must be an object of strings")
    headers = {name: text for name, text in value.items() if isinstance(text, str)}
    if len(headers) != len(value):
        raise ConfigError(f"`{key}` of the access token must be an object of strings")
    return headers
