"""multipart/form-data in the place of JSON."""

from __future__ import annotations

import base64
from contextlib import suppress
from enum import Enum
from pathlib import Path  # noqa: TC003 - read at run time
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, strategies as st
from pydantic import Base64Bytes, Base64UrlBytes, BaseModel, Field, JsonValue, SecretStr

from livepeer.runner import Pipeline
from livepeer.runner._schema.contract import Contract, MalformedBody
from livepeer.runner._schema.multipart import FormParser
from livepeer.runner._schema.signature import read_contract
from livepeer.runner.errors import InvalidParams
from livepeer.runner.files import SPILL_BYTES, ContentType, File

PNG = b"\x89PNG\xff\x00\r\n--"


class Point(BaseModel):
    x: int
    y: int = 0


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def contract(predict: Any) -> Contract:
    return read_contract(type("Sample", (Pipeline,), {"predict": predict})())


def form(*parts: tuple[str, bytes] | tuple[str, bytes, str]) -> tuple[bytes, str]:
    """A body and its content type; the third of a part are its further headers."""
    body = b""
    for name, data, *more in parts:
        head = f'Content-Disposition: form-data; name="{name}"{more[0] if more else ""}'
        body += b"--b0und\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n"
    return body + b"--b0und--\r\n", 'multipart/form-data; boundary="b0und"'


def upload(name: str, content_type: str = "image/png") -> str:
    return f'; filename="{name}"\r\nContent-Type: {content_type}'


def test_files_and_texts():
    def predict(
        self: object,
        image: File,
        text: str,
        times: int = 1,
        loud: bool = False,
        colour: Colour = Colour.RED,
        size: Literal["s", "m"] = "s",
        point: Point | None = None,
        key: SecretStr | None = None,
        anything: JsonValue = None,
    ) -> None: ...

    taken = contract(predict).parse(
        *form(
            ("image", PNG, upload("a/b.png")),
            ("text", b"5"),
            ("times", b"3"),
            ("loud", b"true"),
            ("colour", b"blue"),
            ("size", b"m"),
            ("point", b'{"x":1}'),
            ("key", b"s3cret"),
            ("anything", b"[1]"),
        )
    )
    image = taken.pop("image")
    assert isinstance(image, File)
    assert (image.read(), image.name, image.content_type) == (PNG, "b.png", "image/png")
    key = taken.pop("key")
    assert isinstance(key, SecretStr)
    assert key.get_secret_value() == "s3cret"
    assert taken == {
        "text": "5",
        "times": 3,
        "loud": True,
        "colour": Colour.BLUE,
        "size": "m",
        "point": Point(x=1),
        "anything": "[1]",
    }


def test_every_form_of_bytes_takes_a_file():
    def predict(
        self: object,
        a: Base64Bytes,
        b: Base64UrlBytes,
        c: bytes,
        d: Annotated[bytes, ContentType("image/png")],
        e: str,
        f: File | None = None,
    ) -> None: ...

    parts = [(name, PNG, upload("x")) for name in "abcd"]
    taken = contract(predict).parse(
        *form(*parts, ("e", "ä".encode(), upload("e.txt", "text/plain")), ("f", PNG, upload("f")))
    )
    file = taken.pop("f")
    assert isinstance(file, File)
    assert taken == {"a": PNG, "b": PNG, "c": PNG, "d": PNG, "e": "ä"}


def test_a_name_that_comes_again_makes_a_list():
    def predict(
        self: object,
        files: list[File],
        tags: list[str] = [],  # noqa: B006
        counts: list[int] = [],  # noqa: B006
        either: str | list[str] = "",
    ) -> None: ...

    sample = contract(predict)
    taken = sample.parse(
        *form(
            ("files", b"1", upload("1")),
            ("files", b"2", upload("2")),
            ("tags", b"one"),
            ("counts", b"[1,2]"),
            ("either", b"x"),
        )
    )
    files = taken.pop("files")
    assert isinstance(files, list)
    assert [file.read() for file in files] == [b"1", b"2"]
    assert taken == {"tags": ["one"], "counts": [1, 2], "either": "x"}
    assert len(sample.parse(*form(("files", b"1", upload("1"))))["files"]) == 1  # type: ignore[arg-type]


def test_a_file_in_text_is_base64_as_in_json():
    def predict(self: object, file: File) -> None: ...

    file = contract(predict).parse(*form(("file", base64.b64encode(PNG))))["file"]
    assert isinstance(file, File)
    assert file.read() == PNG


def test_a_part_may_say_that_it_is_json():
    def predict(self: object, point: Point, text: str = "") -> None: ...

    sample = contract(predict)
    said = "\r\nContent-Type: application/json"
    assert sample.parse(*form(("point", b'{"x":2}', said), ("text", b'"t"', said))) == {
        "point": Point(x=2),
        "text": "t",
    }
    with pytest.raises(MalformedBody) as caught:
        sample.parse(*form(("point", b"{", said)))
    assert caught.value.errors[0]["loc"] == ["body", "point"]


def test_a_model_takes_a_form_as_well():
    class Request(BaseModel):
        image: File
        times: Annotated[int, Field(ge=1, alias="n")] = 1

    def predict(self: object, request: Request) -> None: ...

    predict.__annotations__["request"] = Request
    request = contract(predict).parse(*form(("image", PNG, upload("x")), ("n", b"2")))["request"]
    assert isinstance(request, Request)
    assert (request.image.read(), request.times) == (PNG, 2)


@pytest.mark.parametrize(
    ("parts", "error", "loc"),
    [
        ([], "missing", ["body", "image"]),
        ([("image", PNG, upload("x")), ("n", b"x")], "int_parsing", ["body", "n"]),
        ([("image", PNG, upload("x")), ("m", b"1")], "extra_forbidden", ["body", "m"]),
        ([("image", PNG, upload("x")), ("m", PNG, upload("x"))], "extra_forbidden", ["body", "m"]),
        ([("image", PNG)], "string_unicode", ["body", "image"]),
        ([("image", PNG, upload("x"))] * 2, "is_instance_of", ["body", "image", "is-instance"]),
    ],
)
def test_refused_fields(parts: list[Any], error: str, loc: list[str]):
    def predict(self: object, image: File, n: int = 1) -> None: ...

    with pytest.raises(InvalidParams) as caught:
        contract(predict).parse(*form(*parts))
    assert not isinstance(caught.value, MalformedBody)
    fault = caught.value.errors[0]
    assert fault["loc"][: len(loc)] == loc or fault["loc"][:2] == loc[:2]  # type: ignore[index]
    assert "input" not in fault


def _malformed() -> dict[str, tuple[bytes, str]]:
    body, kind = form(("text", b"a"))
    return {
        "no boundary": (body, "multipart/form-data"),
        "a long boundary": (body, "multipart/form-data; boundary=" + "b" * 300),
        "another boundary": (body, "multipart/form-data; boundary=other"),
        "nothing": (b"", kind),
        "cut": (body[:-8], kind),
        "cut headers": (body[:30], kind),
        "JSON": (b'{"text":"a"}', kind),
        "no name": (body.replace(b'name="text"', b"nam"), kind),
        "many parts": form(*[("text", b"")] * 1001),
        "a long text": form(("text", b"a" * (1024 * 1024 + 1))),
        "long headers": form(("text", b"", "\r\nX: " + "y" * 100_000)),
    }


@pytest.mark.parametrize("name", list(_malformed()))
def test_what_is_no_form_is_malformed(name: str):
    def predict(self: object, text: str) -> None: ...

    with pytest.raises(MalformedBody) as caught:
        contract(predict).parse(*_malformed()[name])
    assert caught.value.errors[0]["loc"] == ["body"]


def test_an_unannotated_predict_takes_files():
    def predict(self, image): ...

    sample = contract(predict)
    file = sample.parse(*form(("image", PNG, upload("x"))))["image"]
    assert isinstance(file, File)
    with pytest.raises(MalformedBody):
        sample.parse(*form(("image", b""), ("imag", b"")))


def test_large_files_lie_on_disk_for_as_long_as_they_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def predict(self: object, file: File) -> None: ...

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data = bytes(range(256)) * (3 * SPILL_BYTES // 256 + 1)
    file = contract(predict).parse(*form(("file", data, upload("big.bin"))))["file"]
    assert isinstance(file, File)
    assert list(tmp_path.iterdir()) == [file.path]
    assert file.read() == data
    del file
    assert list(tmp_path.iterdir()) == []


def test_pieces_of_any_length():
    body, kind = form(("file", PNG, upload("a.png")), ("text", b"b"))
    for length in (1, 7, 64):
        parser = FormParser(kind)
        for start in range(0, len(body), length):
            parser.feed(body[start : start + length])
        file, text = parser.finish()
        assert isinstance(file.value, File)
        assert (file.name, file.value.read(), text.name, text.value) == ("file", PNG, "text", b"b")


def test_a_refused_form_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def predict(self: object, file: File) -> None: ...

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    body, kind = form(("file", bytes(3 * SPILL_BYTES), upload("a")), ("b", b"", upload("b")))
    for end in (len(body), len(body) - 4, 2 * SPILL_BYTES + 200):
        with pytest.raises(InvalidParams):
            contract(predict).parse(body[:end], kind)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/mixed; boundary=a", "x"])
def test_anything_else_is_json(kind: str):
    def predict(self: object, text: str) -> None: ...

    sample = contract(predict)
    assert sample.parse(b'{"text":"a"}', kind) == {"text": "a"}


@given(st.binary(max_size=300))
def test_no_bytes_are_more_than_malformed(noise: bytes):
    def predict(self: object, text: str = "", file: File | None = None) -> None: ...

    sample = contract(predict)
    body, kind = form(("text", b"a"), ("file", PNG, upload("x")))
    for broken in (noise, body[:50] + noise + body[50:], body[: len(noise)] + noise):
        with suppress(InvalidParams):
            assert set(sample.parse(broken, kind)) == {"text", "file"}
