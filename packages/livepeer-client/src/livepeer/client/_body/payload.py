"""From what a caller gives to the body that is sent."""

from __future__ import annotations

import mimetypes
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from livepeer.client._wire.encoding import dump_json, load_json
from livepeer.client.errors import InvalidJob

from .body import BYTES_TYPE, JSON_TYPE, Body, FilePiece, Piece
from .typed import is_model, model_json, takes_none, typed_json

if TYPE_CHECKING:
    from .progress import OnProgress

FileInput: TypeAlias = "Path | bytes | tuple[str, bytes]"
"""A file of a form: where it lies, its bytes, or its name and its bytes."""

Files: TypeAlias = "Mapping[str, FileInput | list[FileInput]]"
"""The files of a form by the name of their field; a list is several for one field."""

MAX_PARTS: Final = 1000
"""So many parts a runner takes in one form."""

MAX_UNSIZED_BYTES: Final = 1024 * 1024
"""So much is sent of a file that does not tell its length."""

_BYTES: Final = (bytes, bytearray, memoryview)

_UNSAFE = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


def body_of(
    payload: object,
    type_: type[object] | None = None,
    files: Files | None = None,
    content_type: str | None = None,
    on_progress: OnProgress | None = None,
) -> Body:
    """The body of a call. Looks at files, so it may block for as long as a `stat` does.

    Args:
        payload: A JSON value, a Pydantic model or bytes; None is an empty object. With `files` it
            is the other fields of the form.
        type_: What the payload is declared to be, where a capability says so.
        files: The files of a form.
        content_type: Of a payload that is bytes.
        on_progress: Is told while the body goes out.

    Raises:
        InvalidJob: Something of it cannot be sent; the text names it.
    """
    if content_type is not None and (files or not _is_bytes(payload)):
        raise InvalidJob("`content_type` goes with a payload of bytes")
    if files:
        body = _form(_fields(payload, type_), files)
    elif _is_bytes(payload):
        data = bytes(cast("bytes | bytearray | memoryview", payload))
        body = Body.of(data, _header_text(content_type or BYTES_TYPE))
    else:
        body = Body.of(_json(payload, type_))
    return body.told(on_progress)


def _is_bytes(payload: object) -> bool:
    return isinstance(payload, _BYTES)


def _json(payload: object, type_: type[object] | None) -> bytes:
    if payload is None and (type_ is None or not takes_none(type_)):
        return b"{}"
    if is_model(payload) and type_ in (None, type(payload)):
        return model_json(payload)
    if type_ is not None:
        return typed_json(payload, type_)
    return dump_json(payload, "payload").encode()


def _fields(payload: object, type_: type[object] | None) -> Mapping[str, object]:
    if payload is not None and not isinstance(payload, Mapping):
        payload = None if _is_bytes(payload) else load_json(_json(payload, type_))
        if not isinstance(payload, dict):
            raise InvalidJob("with `files`, `payload` must be a mapping: the form's other fields")
    return cast("Mapping[str, object]", payload or {})


def _form(fields: Mapping[str, object], files: Files) -> Body:
    """A `multipart/form-data` body (RFC 7578)."""
    boundary = secrets.token_hex(16)
    pieces: list[Piece] = []
    given = [(name, file) for name, several in files.items() for file in _several(several)]
    if len(fields) + len(given) > MAX_PARTS:
        raise InvalidJob(f"a form has {MAX_PARTS} parts at most")
    for name, value in fields.items():
        pieces.append(_head(boundary, name) + _field(name, value) + b"\r\n")
    for name, file in given:
        pieces += [*_file(boundary, name, file), b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    size = sum(piece.size if isinstance(piece, FilePiece) else len(piece) for piece in pieces)
    return Body(f"multipart/form-data; boundary={boundary}", tuple(pieces), size)


def _head(boundary: str, name: object, more: str = "") -> bytes:
    if not isinstance(name, str):
        raise InvalidJob(f"the name of a field must be text, not {name!r}")
    field = name.translate(_UNSAFE)
    disposition = f'Content-Disposition: form-data; name="{field}"{more}'
    return _utf8(name, f"--{boundary}\r\n{disposition}\r\n")


def _field(name: str, value: object) -> bytes:
    """A field that is no file: text as it is, anything else as JSON that says that it is."""
    if isinstance(value, str):
        return b"\r\n" + _utf8(name, value)
    text = dump_json(value, name).encode()
    return f"Content-Type: {JSON_TYPE}\r\n\r\n".encode() + text


def _utf8(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidJob(f"the field {name!r} is no text that can be sent: {error}") from error


def _several(given: FileInput | list[FileInput]) -> list[FileInput]:
    return given if isinstance(given, list) else [given]


def _file(boundary: str, name: str, file: object) -> list[Piece]:
    match file:
        case Path():
            return _part(boundary, name, file.name, _on_disk(name, file))
        case bytes():
            return _part(boundary, name, name, file)
        case (str() as file_name, bytes() as data):
            return _part(boundary, name, file_name, data)
        case _:
            raise InvalidJob(
                f"the file {name!r} must be a pathlib.Path, bytes, or (name, bytes), not"
                f" {type(file).__name__}"
            )


def _part(boundary: str, name: str, file_name: str, piece: Piece) -> list[Piece]:
    head = _head(boundary, name, f'; filename="{str(file_name).translate(_UNSAFE)}"')
    kind = mimetypes.guess_type(file_name)[0] or BYTES_TYPE
    return [head + f"Content-Type: {kind}\r\n\r\n".encode(), piece]


def _on_disk(name: str, path: Path) -> Piece:
    try:
        found = os.stat(path) if path.is_file() else None
        # The kernel's own files, such as those of /proc, have no length.
        data = b"" if found is None or found.st_size else _read_some(path)
    except (OSError, ValueError) as error:
        raise InvalidJob(f"the file {name!r} cannot be read: {error}") from error
    if found is None:
        raise InvalidJob(f"the file {name!r} is not there, or no file: {path}")
    if len(data) > MAX_UNSIZED_BYTES:
        raise InvalidJob(f"the file {name!r} has no length and is too large: {path}")
    return data or FilePiece.of(path, found)


def _read_some(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_UNSIZED_BYTES + 1)


def _header_text(content_type: str) -> str:
    if not content_type.isascii() or not content_type.isprintable() or "/" not in content_type:
        raise InvalidJob(f"`content_type` must be such as 'image/png', not {content_type!r}")
    return content_type
