"""`multipart/form-data` (RFC 7578), piece by piece; files go to disk when large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from livepeer.runner._schema.faults import MalformedBody
from livepeer.runner.files import Spool, is_media_type, safe_name

if TYPE_CHECKING:
    from livepeer.runner.files import File

MAX_PARTS = 1000
"""Parts of one form; the next one is refused."""
MAX_TEXT_BYTES = 1024 * 1024
"""Length of a part that is no file."""
_PIECE_BYTES = 1024 * 1024


class Part(NamedTuple):
    """One part of a form.

    Attributes:
        name: The field that it is for.
        value: A file, or the bytes of a text.
        is_json: Whether the sender says that the text is JSON.
    """

    name: str
    value: File | bytes
    is_json: bool


def is_form(content_type: str) -> bool:
    """Whether a body of this type is a form in parts."""
    return content_type[:19].lower() == "multipart/form-data"


def read_form(body: bytes, content_type: str) -> list[Part]:
    """The parts of a form.

    Args:
        body: All of it.
        content_type: The header, with the boundary.

    Raises:
        MalformedBody: It is no form, ends too early, has too many parts, or too long a text.
    """
    parser = FormParser(content_type)
    try:
        # Or a large file would be in memory twice.
        for start in range(0, len(body), _PIECE_BYTES):
            parser.feed(body[start : start + _PIECE_BYTES])
        return parser.finish()
    finally:
        parser.close()


class FormParser:
    """Takes the body of a form in pieces of any length.

    Args:
        content_type: The header, with the boundary.

    Raises:
        MalformedBody: The header has no boundary that could be one.
    """

    def __init__(self, content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise malformed("the form's Content-Type has no boundary")
        self._parts: list[Part] = []
        self._ended = False
        self._part = _OpenPart()
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_part_data": self._data,
                    "on_part_end": self._end,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_end,
                    "on_end": self._finish,
                },
            )
        except FormParserError as exc:
            raise malformed(str(exc)) from None
        self._parser.logger = cast("Any", _Silence())

    def feed(self, data: bytes) -> None:
        """Take the next piece of the body.

        Raises:
            MalformedBody: It is no form, has too many parts, or a text in it is too long.
        """
        try:
            self._parser.write(data)
        except FormParserError as exc:
            raise malformed(f"the body is no form: {exc}") from None

    def finish(self) -> list[Part]:
        """The parts, when the body has ended.

        Raises:
            MalformedBody: It ended before its last boundary.
        """
        if not self._ended:
            raise malformed("the form ended before its last boundary")
        return self._parts

    def close(self) -> None:
        """Let go of the parts; files that nobody has taken go from disk. Idempotent."""
        self._parts = []
        self._part = _OpenPart()

    def _begin(self) -> None:
        if len(self._parts) >= MAX_PARTS:
            raise malformed(f"the form has more than {MAX_PARTS} parts")
        self._part = _OpenPart()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._part.header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.content += data[start:end]

    def _header_end(self) -> None:
        part = self._part
        part.headers[bytes(part.header).lower()] = bytes(part.content)
        part.header.clear()
        part.content.clear()

    def _headers_end(self) -> None:
        self._part.open()

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._part.write(data[start:end])

    def _end(self) -> None:
        self._parts.append(self._part.close())

    def _finish(self) -> None:
        self._ended = True


class _Silence:
    """A log of which nothing comes: what is wrong with a form is told to its sender."""

    def debug(self, *_: object) -> None: ...

    info = warning = error = debug


class _OpenPart:
    """The part that is being taken."""

    def __init__(self) -> None:
        self.header = bytearray()
        self.content = bytearray()
        self.headers: dict[bytes, bytes] = {}
        self.spool: Spool | None = None
        self._text = bytearray()
        self._name = ""
        self._file_name: str | None = None
        self._type: str | None = None

    def open(self) -> None:
        """The headers are complete."""
        _, options = parse_options_header(self.headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise malformed("a part of the form has no name")
        self._name = options[b"name"].decode("utf-8", "replace")
        declared = self.headers.get(b"content-type", b"").decode("latin-1").strip()
        self._type = declared if is_media_type(declared) else None
        file_name = options.get(b"filename")
        if file_name is not None:
            self._file_name = safe_name(file_name.decode("utf-8", "replace"))
        if file_name is not None or not _is_text(self._type):
            self.spool = Spool()

    def write(self, data: bytes) -> None:
        if self.spool is not None:
            self.spool.write(data)
            return
        self._text += data
        if len(self._text) > MAX_TEXT_BYTES:
            raise malformed(
                f"a text of the form is longer than {MAX_TEXT_BYTES} bytes; send it as a file"
            )

    def close(self) -> Part:
        if self.spool is None:
            is_json = (self._type or "").partition(";")[0].lower() == "application/json"
            return Part(self._name, bytes(self._text), is_json)
        file = self.spool.file(name=self._file_name, content_type=self._type)
        return Part(self._name, file, is_json=False)


def _is_text(media_type: str | None) -> bool:
    plain = (media_type or "text/plain").lower()
    return plain.startswith(("text/", "application/json"))


def malformed(text: str) -> MalformedBody:
    """The refusal of a body that is no form, or of a part of one."""
    return MalformedBody(text, [{"type": "form_invalid", "loc": ["body"], "msg": text}])
