"""Content types that stand where they would be passed over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from livepeer.runner._schema.annotations import bare, members_of
from livepeer.runner.files import ContentType, File, is_media_type

if TYPE_CHECKING:
    from collections.abc import Iterator

# The top-level types of IANA's registry.
_KINDS = frozenset(
    {
        "application",
        "audio",
        "font",
        "image",
        "message",
        "model",
        "multipart",
        "text",
        "video",
    }
)


def misplaced_content_type(annotation: object) -> str | None:
    """Why a content type in an annotation says nothing there, and the mend; None where all do."""
    for one in _types_in(annotation):
        if isinstance(one, ContentType):
            return f"which says what bytes are, and not that they are bytes; {_mend('bytes', one)}"
        name, text = _text_at(one)
        if text is not None:
            return f"where the text {text!r} says nothing; {_mend(name, ContentType(text))}"
    return None


def _mend(name: str, said: ContentType) -> str:
    return f'write `Annotated[{name}, ContentType("{said.media_type}")]`'


def _types_in(annotation: Any) -> Iterator[object]:
    """An annotation and the types that it is made of, without what is said of them."""
    yield annotation
    inside = get_args(annotation)
    for one in inside[:1] if get_origin(annotation) is Annotated else inside:
        yield from _types_in(one)


def _text_at(annotation: object) -> tuple[str, str | None]:
    """What kind of bytes has a media type as a mere text beside it, and that text, if one has."""
    if get_origin(annotation) is not Annotated:
        return "", None
    names = [_name(one) for one in members_of(bare(annotation))]
    name = next(filter(None, names), "")
    said: tuple[object, ...] = get_args(annotation)[1:]
    if not name or any(isinstance(one, ContentType) for one in said):
        return name, None
    return name, next((one for one in said if isinstance(one, str) and _is_known(one)), None)


def _name(kind: object) -> str:
    if kind is bytes:
        return "bytes"
    return kind.__name__ if isinstance(kind, type) and issubclass(kind, File) else ""


def _is_known(text: str) -> bool:
    return is_media_type(text) and text.partition("/")[0].lower() in _KINDS
