"""Files in requests and answers: pictures, sound, archives, anything that is bytes.

A `File` parameter of `predict()` takes an upload (a part of `multipart/form-data`), or base64 text
in JSON, plain or as a `data:` URI. Declared as what `predict()` returns, it makes the answer the
bytes themselves:

```python
def predict(self, picture: File) -> Annotated[bytes, ContentType("image/png")]: ...
```

Anywhere else (in a field of a model, a list, an item of a stream) a file is base64 text in JSON.
"""

from __future__ import annotations

import base64
import mimetypes
import os
import re
import tempfile
import weakref
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from pydantic_core import SchemaValidator, ValidationError, core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

__all__ = ["SPILL_BYTES", "ContentType", "File", "Spool"]

SPILL_BYTES = 1024 * 1024
"""What of a file is kept in memory; a larger one lies in the temporary folder of the system."""

OCTETS = "application/octet-stream"
"""The content type of bytes of which no more is known."""
NO_BASE64 = "it is no base64 text"
"""What is wrong with a text that should be a file's bytes."""

_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(;\s*[\w-]+=[^\r\n]+)?", re.ASCII)

# Several times as fast as the standard library's, and strict; takes both alphabets.
_BASE64 = SchemaValidator(
    core_schema.bytes_schema(), core_schema.CoreConfig(val_json_bytes="base64")
)


class File:
    """Bytes with a name and a content type, in memory or on disk.

    What came with a request lies in memory up to 1 MiB, and in a temporary file beyond; that file
    goes when the object goes.

    Args:
        source: The bytes, or the path of a file that stays the author's.
        name: How it is called; by default the name of the path.
        content_type: What it is; by default what its name says, or `application/octet-stream`.

    Raises:
        ValueError: The content type is none.
    """

    def __init__(
        self,
        source: bytes | Path | str,
        *,
        name: str | None = None,
        content_type: str | None = None,
    ) -> None:
        self._data = source if isinstance(source, bytes) else None
        self._path = None if isinstance(source, bytes) else Path(source)
        self._name = name if name is not None or self._path is None else self._path.name
        self._declared = None if content_type is None else _checked(content_type)

    @property
    def name(self) -> str | None:
        """How the sender called it, without folders; None where nothing was said."""
        return self._name

    @property
    def content_type(self) -> str:
        """What the sender says that it is, or its name suggests; nobody has looked into it."""
        return self.declared or OCTETS

    @property
    def declared(self) -> str | None:
        """The content type, where one was given or the name has one."""
        if self._declared is not None or self._name is None:
            return self._declared
        return mimetypes.guess_type(self._name)[0]

    @property
    def size(self) -> int:
        """Its length in bytes."""
        if self._data is not None:
            return len(self._data)
        return self.path.stat().st_size

    @property
    def path(self) -> Path:
        """Where it lies on disk; what is in memory is written there when this is first asked.

        A temporary file lives as long as this object.
        """
        if self._path is None:
            spool = Spool(limit=0)
            spool.write(self._data or b"")
            self._keep(spool.settle())
        assert self._path is not None
        return self._path

    def read(self) -> bytes:
        """All of its bytes."""
        return self._data if self._data is not None else self.path.read_bytes()

    def open(self) -> BinaryIO:
        """Open it to be read from its beginning; the caller closes it."""
        return BytesIO(self._data) if self._data is not None else self.path.open("rb")

    def __repr__(self) -> str:
        return f"File(name={self._name!r}, content_type={self.content_type!r}, size={self.size})"

    def _keep(self, path: Path) -> None:
        """A temporary file is now this object's, and goes with it."""
        self._path = path
        weakref.finalize(self, _remove, str(path))

    @classmethod
    def owning(cls, path: Path, *, name: str | None, content_type: str | None) -> File:
        """A file that goes from disk when the object goes."""
        made = cls(path, name=name, content_type=content_type)
        made._name = name
        made._keep(path)
        return made

    @classmethod
    def from_text(cls, text: str) -> File:
        """A file from base64 text, plain or as a `data:` URI.

        Raises:
            ValueError: It is neither.
        """
        declared, data = _from_text(text)
        if len(data) <= SPILL_BYTES:
            return cls(data, content_type=declared)
        spool = Spool()
        spool.write(data)
        return spool.file(content_type=declared)

    @classmethod
    def _of(cls, value: object) -> File:
        if isinstance(value, str):
            return cls.from_text(value)
        if not isinstance(value, cls):
            raise ValueError("it has to be one file, or base64 text")
        return value

    def to_text(self) -> str:
        """Its bytes as base64 text."""
        return base64.b64encode(self.read()).decode("ascii")

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: object, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Text in JSON; a file, or text, in Python."""
        text = core_schema.no_info_after_validator_function(
            cls.from_text, core_schema.str_schema(strict=True)
        )
        return core_schema.json_or_python_schema(
            json_schema=text,
            python_schema=core_schema.no_info_plain_validator_function(cls._of),
            serialization=core_schema.plain_serializer_function_ser_schema(
                cls.to_text, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Base64 text; the content type is that of `ContentType`, where there is one."""
        return {
            "type": "string",
            "format": "byte",  # what tools for OpenAPI know
            "contentEncoding": "base64",
            "contentMediaType": OCTETS,
        }


@dataclass(frozen=True)
class ContentType:
    """What bytes are: `Annotated[bytes, ContentType("image/png")]`, and the same with `File`.

    As what `predict()` returns, it makes the answer the bytes themselves, of this type. Bytes so
    annotated are a file in a request and base64 text in JSON, as a `File` is.

    Raises:
        ValueError: It is no media type.
    """

    media_type: str

    def __post_init__(self) -> None:
        _checked(self.media_type)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Base64 in JSON; bytes in Python, which may come as a file."""
        inner = handler(source)
        if isinstance(source, type) and issubclass(source, File):
            return inner
        if source is not bytes:
            raise TypeError(f"ContentType stands at {source!r}: it says what bytes or a File are")
        # In front of the author's own limits on the bytes, such as `Field(max_length=...)`.
        return core_schema.no_info_before_validator_function(
            _bytes_of,
            inner,
            serialization=core_schema.plain_serializer_function_ser_schema(
                _bytes_text, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Base64 text of this type."""
        # Limits on the bytes are none on the text.
        about_bytes = ("format", "minLength", "maxLength")
        shown = {name: word for name, word in handler(schema).items() if name not in about_bytes}
        return {
            **shown,
            "format": "byte",
            "contentEncoding": "base64",
            "contentMediaType": self.media_type,
        }


class Spool:
    """Takes bytes as they come: in memory up to a limit, in a temporary file beyond it."""

    def __init__(self, limit: int = SPILL_BYTES) -> None:
        self._limit = limit
        self._memory = bytearray()
        self._path: Path | None = None
        self._gone: weakref.finalize[..., Spool] | None = None

    def write(self, data: bytes) -> None:
        """Take more; writes to disk when the memory's limit is passed, and from then on."""
        self._memory += data
        if len(self._memory) > self._limit or self._path is not None:
            self._flush()

    def settle(self) -> Path:
        """Have all of it on disk; the file is the caller's from now on."""
        self._flush()
        assert self._path is not None
        assert self._gone is not None
        self._gone.detach()
        return self._path

    def file(self, *, name: str | None = None, content_type: str | None = None) -> File:
        """What was taken, as a file; the spool is empty afterwards."""
        if self._path is None:
            return File(bytes(self._memory), name=name, content_type=content_type)
        return File.owning(self.settle(), name=name, content_type=content_type)

    def _flush(self) -> None:
        if self._path is None:
            handle, path = tempfile.mkstemp(prefix="livepeer-")
            self._path = Path(path)
            self._gone = weakref.finalize(self, _remove, path)
            os.close(handle)
        with self._path.open("ab") as file:
            file.write(self._memory)
        self._memory.clear()


def safe_name(name: str | None) -> str | None:
    """A file's name without the folders that a sender may have put before it; None for nothing."""
    last = PurePosixPath((name or "").replace("\\", "/").replace("\0", "")).name
    return last if last not in ("", ".", "..") else None


def is_media_type(text: str) -> bool:
    """Whether a text can stand in a `Content-Type`."""
    return _MEDIA_TYPE.fullmatch(text) is not None


def _checked(content_type: str) -> str:
    if not is_media_type(content_type):
        raise ValueError(f"{content_type!r} is no media type, as in 'image/png'")
    return content_type


def _from_text(text: str) -> tuple[str | None, bytes]:
    declared = None
    if text.startswith("data:"):
        head, comma, text = text[5:].partition(",")
        if not comma or not head.endswith(";base64"):
            raise ValueError("a data: URI has to be one of base64, as in data:image/png;base64,...")
        head = head.removesuffix(";base64")
        declared = head if is_media_type(head) else None
    try:
        data: bytes = _BASE64.validate_strings(text)  # type: ignore[arg-type]  # the stub has mappings only
    except ValidationError:
        raise ValueError(NO_BASE64) from None
    return declared, data


def _bytes_of(value: object) -> object:
    if isinstance(value, File):
        return value.read()
    return _from_text(value)[1] if isinstance(value, str) else value


def _bytes_text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)
