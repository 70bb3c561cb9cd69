"""Access tokens, and which of several sources counts."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from livepeer.client import (
    AccessToken,
    ConfigError,
    DiscoveryURL,
    ListSource,
    RemoteSigner,
    SignerSource,
    parse_access_token,
)
from livepeer.client._find.access import choose_source

VECTOR = json.loads(
    (Path(__file__).parents[3] / "tests/conformance/vectors/network.json").read_text("utf-8")
)["vectors"]["token"]


def written(fields: object) -> str:
    return base64.b64encode(json.dumps(fields).encode()).decode()


def test_the_golden_token() -> None:
    token = parse_access_token(f" {VECTOR['inputs']['token']}\n")
    parsed = VECTOR["outputs"]["parsed"]
    assert token == AccessToken(**{**parsed, "orchestrators": tuple(parsed["orchestrators"])})
    # Its headers are secret.
    assert "abcdef" not in repr(token)
    assert "qwerty" not in repr(token)


def test_every_field_is_optional() -> None:
    assert parse_access_token(written({})) == AccessToken()
    token = parse_access_token(written({"signer": "signer.example:8935", "discovery": None}))
    assert token == AccessToken(signer="https://signer.example:8935")


@pytest.mark.parametrize(
    ("token", "field"),
    [
        ("secret!", "access_token"),
        (base64.b64encode(b"secret").decode(), "access_token"),
        (written(["secret"]), "access_token"),
        (written({"orchestrators": "secret"}), "orchestrators"),
        (written({"orchestrators": [7, "https://secret"]}), "orchestrators"),
        (written({"signer": 7}), "signer"),
        (written({"signer_headers": {"Authorization": 7}, "signer": "secret"}), "signer_headers"),
        (written({"discovery_headers": "secret"}), "discovery_headers"),
    ],
)
def test_a_wrong_token_names_the_field_and_quotes_nothing(token: str, field: str) -> None:
    with pytest.raises(ConfigError, match=field) as caught:
        parse_access_token(token)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


async def test_what_names_orchestrators_first() -> None:
    token = AccessToken(orchestrators=("http://a:1",), discovery="http://b:1")
    signer = RemoteSigner("http://s:1")
    listed = choose_source(token=token, orchestrators=["http://c:1"], discovery="http://d:1")
    assert isinstance(listed, ListSource)
    assert [candidate.url for candidate in await listed.candidates(None)] == ["http://a:1"]
    own = choose_source(orchestrators=["http://c:1"], discovery="http://d:1", signer=signer)
    assert repr(own) == "<ListSource of http://c:1>"
    by_token = choose_source(token=AccessToken(discovery="http://b:1/?key=x"), discovery="http://d")
    assert repr(by_token) == "<DiscoveryURL http://b:1/>"
    assert isinstance(choose_source(discovery="http://d:1", signer=signer), DiscoveryURL)
    assert isinstance(choose_source(signer=signer), SignerSource)
    assert choose_source(discovery=own) is own
    assert choose_source() is None
