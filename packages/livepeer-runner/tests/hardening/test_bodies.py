"""Every kind of bad request, over plain sockets: the right status, and a word that helps."""

from __future__ import annotations

import gzip
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from livepeer.runner import Pipeline
from livepeer.runner.endpoints import endpoint
from livepeer.runner.files import File  # noqa: TC001 - read at run time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_BODY = 4 * 1024 * 1024
FORM = "multipart/form-data; boundary=b"
END = b"--b--\r\n"
LONG_INT = b"1" + b"0" * 5000
DEEP = 100_000


class Anything(Pipeline):
    """One endpoint for each kind of input."""

    async def predict(self, value: Any = None) -> object:
        return value

    @endpoint
    async def whole(self, n: int) -> str:
        return f"{n:x}"

    @endpoint
    async def real(self, x: float) -> float:
        return x

    @endpoint
    def text(self, text: str) -> int:
        return len(text)

    @endpoint
    def file(self, file: File, note: str = "") -> int:
        return file.size

    @endpoint
    def bare(self, name) -> str:  # type: ignore[no-untyped-def]  # what it is about
        return str(name)


@pytest.fixture(scope="module")
def served(serve_thread: Any) -> Iterator[Any]:
    with serve_thread(Anything(), max_body_bytes=MAX_BODY) as served:
        yield served


@pytest.fixture(autouse=True)
def nothing_of_ours(served: Any, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No fault is logged, the log is not flooded, and the only slot is free again at once."""
    with caplog.at_level(logging.WARNING):
        yield
    told = [(record.name, record.levelname) for record in caplog.records]
    assert set(told) <= {("uvicorn.error", "WARNING")}, told
    # Of what is no HTTP there is a line, and of what is only no good input none.
    assert len(told) <= 2
    good = served.post("/text", b'{"text":"good"}')
    assert (good.status, good.body) == (200, b"4")


def part(head: str, body: bytes) -> bytes:
    return b"--b\r\n" + head.encode() + b"\r\n\r\n" + body + b"\r\n"


def field(name: str, body: bytes, file: str | None = None, more: str = "") -> bytes:
    given = "" if file is None else f'; filename="{file}"'
    return part(f'Content-Disposition: form-data; name="{name}"{given}{more}', body)


NESTED = b"[" * DEEP + b"]" * DEEP


@pytest.mark.parametrize(
    ("path", "body", "status", "place", "word"),
    [
        ("/predict", b'{"value":' + NESTED + b"}", 400, "body", "recursion limit"),
        ("/predict", b'{"value":' + b'{"a":' * DEEP, 400, "body", "recursion limit"),
        ("/text", b'{"text":' + NESTED + b"}", 400, "body", "recursion limit"),
        ("/text", b'{"text":"abc', 400, "body", "EOF while parsing a string"),
        ("/text", b"{", 400, "body", "EOF while parsing"),
        ("/text", b'{"text":"a"}}', 400, "body", "trailing characters"),
        ("/text", b'{"text":"\xff\xfe"}', 400, "body", "invalid unicode"),
        ("/text", b'{"text":"\xed\xa0\x80"}', 400, "body", "invalid unicode"),
        ("/text", b'{"text":"\\ud800"}', 400, "body", "hex escape"),
        ("/predict", b'{"value":"\\udc00"}', 400, "body", "surrogate"),
        ("/text", b'{"text":"\x00"}', 400, "body", "control character"),
        ("/text", b"\xef\xbb\xbf{}", 400, "body", "expected value"),
        ("/text", b"text=a", 400, "body", "expected ident"),
        ("/whole", b'{"n":' + LONG_INT + b"}", 400, "body", "number out of range"),
        ("/real", b'{"x":' + LONG_INT + b"}", 400, "body", "number out of range"),
        ("/predict", b'{"value":' + LONG_INT + b"}", 400, "body", "number out of range"),
        ("/whole", b'{"n":"' + LONG_INT + b'"}', 422, "n", "exceeded maximum size"),
        ("/whole", b'{"n":NaN}', 422, "n", "finite number"),
        ("/whole", b'{"n":1.5}', 422, "n", "fractional part"),
        ("/whole", b'{"n":"five"}', 422, "n", "valid integer"),
        ("/whole", b'{"n":null}', 422, "n", "valid integer"),
        ("/real", b'{"x":"' + LONG_INT + b'x"}', 422, "x", "valid number"),
        ("/text", b'{"text":5}', 422, "text", "valid string"),
        ("/text", b'{"text":{"a":1}}', 422, "text", "valid string"),
        ("/text", b'{"text":"a","more":1}', 422, "more", "not permitted"),
        ("/text", b"", 422, "text", "required"),
        ("/text", b"[1]", 422, "body", "object"),
        ("/text", b'"text"', 422, "body", "object"),
        ("/text", b"null", 422, "body", "object"),
        ("/bare", b'{"nam":"a"}', 400, "nam", "not permitted"),
        ("/file", b'{"file":"%%%"}', 422, "file", "no base64 text"),
        ("/file", b'{"file":"YWJ"}', 422, "file", "no base64 text"),
        ("/file", '{"file":"YWé"}'.encode(), 422, "file", "no base64 text"),
        ("/file", b'{"file":"data:image/png,abc"}', 422, "file", "data: URI"),
        ("/file", b'{"file":"data:;base64"}', 422, "file", "data: URI"),
        ("/file", b'{"file":5}', 422, "file", "valid string"),
    ],
)
def test_json_that_does_not_fit(
    served: Any, path: str, body: bytes, status: int, place: str, word: str
):
    reply = served.post(path, body)
    assert reply.status == status
    assert reply.json["type"] == ("MalformedBody" if status == 400 else "InvalidParams")
    assert reply.json["request_id"] == reply.headers["x-request-id"]
    faults = reply.json["detail"]
    found = [fault["msg"] for fault in faults if fault["loc"][-1] == place]
    assert any(word in text for text in found), faults
    assert len(reply.body) < 4000


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/whole", b'{"n":"5"}', b'"5"'),
        ("/text", b'{"text":"a","text":"bc"}', b"2"),
        ("/real", b'{"x":1e999}', b"null"),
        ("/real", b'{"x":-Infinity}', b"null"),
        ("/predict", b'{"value":NaN}', b"null"),
        ("/predict", b'{"value":-0}', b"0"),
        ("/predict", b' {"value" : [ ] } ', b"[]"),
        ("/predict", b'{"value":' + b"[" * 150 + b"]" * 150 + b"}", b"[" * 150 + b"]" * 150),
        ("/predict", b"", b"null"),
        ("/file", b'{"file":""}', b"0"),
        ("/file", b'{"file":"data:;base64,YWJj"}', b"3"),
    ],
)
def test_odd_json_that_fits(served: Any, path: str, body: bytes, answer: bytes):
    reply = served.post(path, body)
    assert (reply.status, reply.body) == (200, answer)


@pytest.mark.parametrize(
    ("kind", "body", "word"),
    [
        ("application/x-www-form-urlencoded", b"text=a", "multipart/form-data"),
        ("multipart/mixed; boundary=b", END, "read is JSON, or multipart/form-data"),
        ("application/json; charset=utf-16", '{"text":"a"}'.encode("utf-16"), "read as UTF-8"),
        ("application/json;charset=latin-1", '{"text":"é"}'.encode("latin-1"), "read as UTF-8"),
    ],
)
def test_the_content_type_is_part_of_the_word(served: Any, kind: str, body: bytes, word: str):
    reply = served.post("/text", body, kind)
    assert reply.status == 400
    assert word in reply.json["detail"][0]["msg"]


def test_what_begins_as_json_is_not_taken_for_a_form(served: Any):
    reply = served.post("/text", b" {", "application/x-www-form-urlencoded")
    assert reply.status == 400
    assert reply.json["detail"][0]["msg"].endswith("at line 1 column 2")


@pytest.mark.parametrize(
    "kind", ["text/plain", "x", ";;;", "\x80\xff", "application/json; charset=x"]
)
def test_whatever_it_is_called_json_is_json(served: Any, kind: str):
    assert served.post("/text", b'{"text":"a"}', kind).status == 200


def test_compressed_bodies_are_refused_before_they_are_read(served: Any):
    body = gzip.compress(b'{"text":"a"}')
    for coding in ("gzip", "GZIP", "br, identity"):
        reply = served.post("/text", body, more=f"Content-Encoding: {coding}\r\n")
        assert (reply.status, reply.json["type"]) == (415, "UnsupportedEncoding")
        assert "send it as it is" in reply.json["detail"]
    plain = served.post("/text", b'{"text":"a"}', more="Content-Encoding: identity\r\n")
    assert plain.status == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "place", "word"),
    [
        ("/file", b"", 400, "body", "ended before"),
        ("/file", b"x", 400, "body", "no form"),
        ("/file", END[:-4], 400, "body", "no form|ended before"),
        ("/file", field("file", b"123", "a"), 400, "body", "ended before"),
        ("/file", field("file", b"123", "a")[:-8], 400, "body", "ended before"),
        ("/file", field("file", b"1", "a") * 1001 + END, 400, "body", "more than 1000 parts"),
        ("/file", part("Content-Disposition: form-data", b"1") + END, 400, "body", "no name"),
        ("/file", part("X: y", b"1") + END, 400, "body", "no name"),
        ("/file", part("X: " + "a" * 3_000_000, b"1") + END, 400, "body", "header size"),
        ("/file", part("\r\n".join(["X: y"] * 9999), b"1") + END, 400, "body", "header count"),
        ("/file", part("a\0b: c", b"1") + END, 400, "body", "invalid character"),
        ("/text", field("text", b"1" * 2_000_000) + END, 400, "body", "send it as a file"),
        ("/text", field("text", b"\xff", "a") + END, 422, "text", "unicode"),
        ("/text", field("text", b"\xed\xa0\x80") + END, 422, "text", "unicode"),
        ("/text", field("text", b"a") * 2 + END, 422, "text", "valid string"),
        ("/text", field("text", b"a") + field("u", b"") + END, 422, "u", "not permitted"),
        ("/text", END, 422, "text", "required"),
        ("/file", field("file", b"a", "a") * 2 + END, 422, "file", "one file, or base64 text"),
        ("/file", field("file", b"%%%") + END, 422, "file", "no base64 text"),
        ("/file", field("file", b"g.png") + END, 422, "file", "; an upload is file=@FILE"),
        ("/file", field("note", b"a") + END, 422, "file", "required"),
        ("/whole", field("n", LONG_INT) + END, 422, "n", "exceeded maximum size"),
        ("/whole", field("n", b"\0" * 9, "a") + END, 422, "n", "valid integer"),
        (
            "/whole",
            field("n", b"{", more="\r\nContent-Type: application/json") + END,
            400,
            "n",
            "EOF while parsing",
        ),
        (
            "/predict",
            field("value", NESTED, more="\r\nContent-Type: application/json") + END,
            400,
            "value",
            "recursion limit",
        ),
    ],
)
def test_forms_that_do_not_fit(
    served: Any, path: str, body: bytes, status: int, place: str, word: str
):
    reply = served.post(path, body, FORM)
    assert reply.status == status
    faults = reply.json["detail"]
    found = [fault["msg"] for fault in faults if fault["loc"][-1] == place]
    assert any(one in text for text in found for one in word.split("|")), faults
    assert len(reply.body) < 4000


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("multipart/form-data", "no boundary"),
        ("multipart/form-data; boundary=", "no boundary"),
        ('multipart/form-data; boundary="', "no form"),
        ("multipart/form-data; boundary=" + "b" * 5000, "Boundary length"),
        ("multipart/form-data; boundary=\xe9", "no form"),
    ],
)
def test_boundaries_that_are_none(served: Any, kind: str, word: str):
    reply = served.post("/file", field("file", b"1", "a") + END, kind)
    assert reply.status == 400
    assert any(one in reply.json["detail"][0]["msg"] for one in (word, "no boundary"))


def test_odd_forms_that_fit(served: Any):
    many = field("value", b"1") * 900
    for path, body, answer in [
        ("/predict", many + END, b"[" + b",".join([b'"1"'] * 900) + b"]"),
        ("/text", field("text", b"abc", "a") + END, b"3"),
        ("/text", field("text", b"abc") + END + b"\r\n" + b"epilogue" * 1000, b"3"),
        ("/file", field("file", b"\0" * 2_000_000, "../../a") + END, b"2000000"),
        ("/file", field("file", b"YWJj") + END, b"3"),
    ]:
        reply = served.post(path, body, FORM)
        assert (reply.status, reply.body) == (200, answer)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /text HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"HEAD /text HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"OPTIONS /text HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"DELETE /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", 405),
        (b"POST /%ff%00/../predict HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 404),
        (b"POST //predict HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 404),
    ],
)
def test_the_wrong_method_or_path(served: Any, sent: bytes, status: int):
    reply = served.ask(sent)
    assert reply.status == status
    if status == 405:
        assert reply.headers["allow"] == "POST"
    if not sent.startswith(b"HEAD"):
        assert reply.json["request_id"] == reply.headers["x-request-id"]


HEAD = b"POST /text HTTP/1.1\r\nHost: a\r\n"
BODY = b'{"text":"a"}'


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + BODY,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + BODY,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n" + BODY,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n" + BODY,
        HEAD + b"Content-Length: 4\r\nContent-Length: 12\r\n\r\n" + BODY,
        HEAD + b"Content-Length: -12\r\n\r\n" + BODY,
        HEAD + b"Content-Length: 0x12\r\n\r\n" + BODY,
        HEAD + b" folded\r\nX\0: y\r\n\r\n",
        b"POST /text HTTP/one\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_and_cut(served: Any, sent: bytes):
    with served.wire() as wire:
        wire.send(sent)
        assert wire.reply().status == 400
        assert wire.is_closed()


@pytest.mark.parametrize(
    "sent",
    [
        b"post /text HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n" + BODY,
        b"BREW /text HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /text HTTP/1.1\r\nContent-Length: 12\r\n\r\n" + BODY,
        b"POST /text HTTP/9.9\r\nHost: a\r\nContent-Length: 12\r\n\r\n" + BODY,
        HEAD + b"Content-Length: " + b"0" * 99 + b"12\r\n\r\n" + BODY,
        HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD
        + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\nc\r\n"
        + BODY
        + b"\r\n0\r\n\r\n",
    ],
)
def test_what_parsers_differ_on_is_answered_all_the_same(served: Any, sent: bytes):
    assert 200 <= served.ask(sent).status < 500


@pytest.mark.parametrize("lines", [b"X: " + b"a" * 400_000, b"X: y\r\n" * 80_000])
def test_headers_without_end_are_cut(served: Any, lines: bytes):
    with served.wire() as wire:
        wire.send(HEAD + lines)
        # Its 400 is lost where it comes while there is more to read.
        with suppress(ConnectionError, IndexError):
            assert wire.reply().status == 400
        assert wire.is_closed()


def test_http_as_few_speak_it(served: Any, make_request: Callable[..., bytes]):
    old = served.ask(b"POST /text HTTP/1.0\r\nContent-Length: 12\r\n\r\n" + BODY)
    assert (old.status, old.body) == (200, b"1")
    with served.wire() as wire:
        wire.send(make_request("/text", b"", more="Expect: 100-continue\r\n")[:-5] + b"12\r\n\r\n")
        assert wire.reply().status == 100
        wire.send(BODY)
        assert wire.reply().body == b"1"
        # On the same connection, one after the other without a wait, the good with the bad.
        bad = make_request("/text", b"{")
        wire.send((make_request("/text", BODY) + bad) * 3)
        assert [wire.reply().status for _ in range(6)] == [200, 400] * 3
        wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for byte in BODY:
            wire.send(b"1\r\n" + bytes([byte]) + b"\r\n")
        wire.send(b"0\r\nX-Trailer: y\r\n\r\n")
        assert wire.reply().body == b"1"


def test_a_body_that_is_too_large_is_refused_unread(served: Any):
    for length in (str(MAX_BODY + 1), "9" * 18):
        with served.wire() as wire:
            wire.send(HEAD + f"Content-Length: {length}\r\n\r\n".encode())
            reply = wire.reply()
            assert (reply.status, reply.json["type"]) == (413, "BodyTooLarge")
            assert "LIVEPEER_MAX_BODY_BYTES" in reply.json["detail"]
    with served.wire() as wire:
        # Not told beforehand: as soon as there is too much, and while more could come.
        wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        piece = b"%x\r\n%b\r\n" % (65_536, b"a" * 65_536)
        for _ in range(MAX_BODY // 65_536 + 1):
            wire.send(piece)
        assert wire.reply().status == 413
