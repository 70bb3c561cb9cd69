"""Files: where they lie, how long, and what they are in JSON."""

from __future__ import annotations

import base64
import json
from pathlib import Path  # noqa: TC003 - read at run time
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import Base64Bytes, BaseModel, Field, TypeAdapter, ValidationError

from livepeer.runner import Pipeline
from livepeer.runner._schema.signature import read_contract
from livepeer.runner.errors import InvalidParams, InvalidResult
from livepeer.runner.files import SPILL_BYTES, ContentType, File, Spool, safe_name

if TYPE_CHECKING:
    from livepeer.runner._schema.contract import Contract

PNG = b"\x89PNG\xff\x00"
TEXT = base64.b64encode(PNG).decode()


def contract(predict: Any) -> Contract:
    return read_contract(type("Sample", (Pipeline,), {"predict": predict})())


def test_small_ones_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spool = Spool()
    spool.write(b"ab")
    spool.write(b"c")
    file = spool.file(name="a.png")
    assert (file.read(), file.size, file.name, file.content_type) == (
        b"abc",
        3,
        "a.png",
        "image/png",
    )
    assert list(tmp_path.iterdir()) == []
    with file.open() as opened:
        assert opened.read() == b"abc"


def test_large_ones_lie_on_disk_for_as_long_as_they_are_used():
    spool = Spool()
    for _ in range(3):
        spool.write(b"x" * (SPILL_BYTES // 2))
    file = spool.file(content_type="video/mp4")
    path = file.path
    assert path.stat().st_size == file.size == 3 * (SPILL_BYTES // 2)
    assert path.stat().st_mode & 0o777 == 0o600
    assert file.name is None
    with file.open() as opened:
        assert opened.read(2) == b"xx"
    del file
    assert not path.exists()


def test_what_is_never_finished_goes_too():
    spool = Spool(limit=1)
    spool.write(b"ab")
    path = spool.settle()
    assert path.exists()  # the caller's now
    path.unlink()
    other = Spool(limit=1)
    other.write(b"ab")
    kept = other.file()
    del other
    assert kept.read() == b"ab"


def test_a_path_is_made_when_it_is_asked_for():
    file = File(b"abc")
    path = file.path
    assert path.read_bytes() == b"abc"
    assert file.path == path
    del file
    assert not path.exists()


def test_an_authors_file_stays(tmp_path: Path):
    path = tmp_path / "out.wav"
    path.write_bytes(b"RIFF")
    file = File(path)
    assert (file.read(), file.name, file.content_type) == (b"RIFF", "out.wav", "audio/x-wav")
    del file
    assert path.exists()


def test_unknown_bytes_have_the_type_of_unknown_bytes():
    file = File(b"")
    assert (file.declared, file.content_type) == (None, "application/octet-stream")
    assert repr(File(b"secret")) == (
        "File(name=None, content_type='application/octet-stream', size=6)"
    )


@pytest.mark.parametrize("text", ["png", "image/", "a/b\r\nX: y", "image/png; x", ""])
def test_content_types_are_such(text: str):
    with pytest.raises(ValueError, match="media type"):
        ContentType(text)
    with pytest.raises(ValueError, match="media type"):
        File(b"", content_type=text)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\y.png", "y.png"),
        ("a\0b", "ab"),
        ("..", None),
        ("", None),
        (None, None),
    ],
)
def test_names_have_no_folders(given: str | None, name: str | None):
    assert safe_name(given) == name


@pytest.mark.parametrize("text", [TEXT, f"data:image/png;base64,{TEXT}"])
def test_in_json_they_are_base64(text: str):
    def predict(
        self: object, file: File, data: Annotated[bytes, ContentType("image/png")]
    ) -> dict[str, File]:
        return {"out": file}

    sample = contract(predict)
    taken = sample.parse(json.dumps({"file": text, "data": text}).encode())
    assert isinstance(taken["file"], File)
    assert (taken["file"].read(), taken["data"]) == (PNG, PNG)
    assert taken["file"].declared == ("image/png" if "data:" in text else None)
    assert sample.dump({"out": taken["file"]}) == json.dumps({"out": TEXT}).encode().replace(
        b" ", b""
    )


@pytest.mark.parametrize("text", ["!", "data:image/png,abc", "data:;base64", "a", "a\u00e9=="])
def test_what_is_no_base64_is_refused(text: str):
    def predict(self: object, file: File) -> None: ...

    with pytest.raises(InvalidParams) as caught:
        contract(predict).parse(json.dumps({"file": text}).encode())
    assert caught.value.errors[0]["loc"] == ["body", "file"]


def test_limits_are_those_of_the_bytes():
    adapter = TypeAdapter(Annotated[bytes, ContentType("image/png"), Field(max_length=6)])
    assert adapter.validate_json(f'"{TEXT}"') == PNG
    with pytest.raises(ValidationError, match="at most 6"):
        adapter.validate_python(PNG + b"x")
    assert adapter.json_schema() == {
        "type": "string",
        "format": "byte",
        "contentEncoding": "base64",
        "contentMediaType": "image/png",
    }


class Reply(BaseModel):
    picture: File


@pytest.mark.parametrize(
    ("annotation", "value", "body", "media_type"),
    [
        (Annotated[bytes, ContentType("image/png")], PNG, PNG, "image/png"),
        (Annotated[bytes, ContentType("image/png")], bytearray(PNG), PNG, "image/png"),
        (bytes, PNG, PNG, "application/octet-stream"),
        (File, File(PNG), PNG, "application/octet-stream"),
        (File, File(PNG, name="a.png"), PNG, "image/png"),
        (Annotated[File, ContentType("image/png")], File(PNG), PNG, "image/png"),
        (
            Annotated[File, ContentType("image/png")],
            File(PNG, content_type="image/webp"),
            PNG,
            "image/webp",
        ),
        (Base64Bytes, PNG, f'"{TEXT}"'.encode(), "application/json"),
        (Reply, Reply(picture=File(PNG)), f'{{"picture":"{TEXT}"}}'.encode(), "application/json"),
    ],
)
def test_results(annotation: Any, value: object, body: bytes, media_type: str):
    def predict(self): ...

    predict.__annotations__["return"] = annotation
    sample = contract(predict)
    assert sample.dump(value) == body
    assert sample.media_type_of(value) == media_type


def test_other_than_bytes_is_no_file():
    def predict(self: object) -> bytes: ...  # type: ignore[empty-body]

    with pytest.raises(InvalidResult, match="str"):
        contract(predict).dump("text")
