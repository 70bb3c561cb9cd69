"""URLs and routes."""

from __future__ import annotations

import pytest

from livepeer.client import (
    AccessToken,
    Candidate,
    Client,
    ConfigError,
    InvalidAnswer,
    InvalidJob,
    JobToken,
    ListedRunner,
    ListSource,
    Offer,
    SyncClient,
)
from livepeer.client._nodes.transport import ChannelURLs, GatewayMediaURLs, StreamHandle
from livepeer.client._wire.encoding import base_url, load_json, on_host, redact, route_path


@pytest.mark.parametrize(
    ("route", "path"),
    [
        ("predict", "predict"),
        ("/predict", "predict"),
        ("v1/chat/completions", "v1/chat/completions"),
        ("a b", "a%20b"),
        ("ü", "%C3%BC"),
        ("50%", "50%25"),
    ],
)
def test_routes_are_canonical(route: str, path: str) -> None:
    assert route_path(route) == path


@pytest.mark.parametrize("route", ["", "/", "a//b", "./a", "a/../b", "a?x=1", "a#b"])
def test_routes_that_go_would_redirect_or_cut_are_refused(route: str) -> None:
    with pytest.raises(InvalidJob, match="route"):
        route_path(route)


def test_a_base_has_no_trailing_slash() -> None:
    assert base_url("http://h:1/", "gateway") == "http://h:1"
    assert base_url("https://h/sub/", "gateway") == "https://h/sub"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8935",
        "h:8935",
        "ftp://h",
        "ftp://u:s3cret@h",
        "http://",
        "http://h?x",
        "http://[bad",
        "http://h:99999",
        "http://u:s3cret@h:99999",
    ],
)
def test_a_base_that_is_none_is_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigError, match="`gateway`") as caught:
        base_url(url, "gateway")
    assert "s3cret" not in str(caught.value)


def test_channels_are_on_the_host_that_answered() -> None:
    moved = on_host("http://orchestrator:8935/ai/trickle/s-out", "https://1.2.3.4:8936")
    assert moved == "https://1.2.3.4:8936/ai/trickle/s-out"
    with pytest.raises(InvalidAnswer, match="http://h") as caught:
        on_host("http://[x", "http://h")
    assert caught.value.elsewhere


def test_urls_are_shown_without_secrets() -> None:
    assert redact("https://me:secret@host:1/p?token=x#y") == "https://host:1/p"
    assert redact("https://me:secret@[host/p?token=x#y") == "[host/p"
    assert "s3cret" not in repr(ListSource(["http://u:s3cret@h"]))


URL = "http://me:s3cret@h:1/p?key=s3cret"
CHANNELS = ChannelURLs(control=URL, data=URL)
MEDIA = GatewayMediaURLs(rtmp="rtmp://me:s3cret@h/key", rtmp_outputs=("rtmp://me:s3cret@h",))


@pytest.mark.parametrize(
    "what",
    [
        Client(gateway="http://me:s3cret@h:1"),
        SyncClient(gateway="http://me:s3cret@h:1"),
        Client(orchestrators=["http://me:s3cret@h:1"]),
        AccessToken(orchestrators=("http://me:s3cret@h:1",), signer=URL, discovery=URL),
        Candidate(url=URL),
        ListedRunner(orchestrator=URL, url=URL),
        Offer(url=URL, token=JobToken(url=""), latency_s=0),
        CHANNELS,
        StreamHandle(
            stream_id="s", capability="c", node_url=URL, timeout_s=1, channels=CHANNELS, media=MEDIA
        ),
    ],
    ids=lambda what: type(what).__name__,
)
def test_no_representation_has_the_secrets_of_a_url(what: object) -> None:
    assert "s3cret" not in repr(what)
    assert "://h" in repr(what)


def test_a_representation_is_the_dataclass_as_ever() -> None:
    shown = repr(Candidate(url="http://h", capabilities=("a/b",)))
    assert shown == "Candidate(url='http://h', score=1.0, capabilities=('a/b',))"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
@pytest.mark.parametrize(
    "text", ['{"a": "\u00e9"}', "{}", ' {"a": 1}', '["x"]', '"x"', "7", "null", "{\n}"]
)
def test_json_is_read_in_whatever_encoding_it_came(text: str, encoding: str) -> None:
    assert load_json(text.encode(encoding)) == load_json(text)


@pytest.mark.parametrize("data", [b'{"a": "\xff"}', b'{"', b'{"a": 1} x', b"", b"\xef\xbb\xbf"])
def test_what_is_no_json_is_told_so(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of whichever kind
        load_json(data)
