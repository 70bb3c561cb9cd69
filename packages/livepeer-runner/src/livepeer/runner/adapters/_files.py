"""Files of a request as another framework hands them out, and its files in our answers."""

from __future__ import annotations

import base64
import mimetypes
import os
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar, cast

from pydantic import WithJsonSchema

from livepeer.runner.files import OCTETS, ContentType, File

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping


T = TypeVar("T")

Receive: TypeAlias = Callable[[File, Path], object]
"""Makes of a file what the framework hands to its author; may write into the folder, which is
removed after the call."""


def saved(file: File, folder: Path) -> Path:
    """A file of a request in a folder of the call, under its own name where it has one.

    Authors look at what a path ends with, so a file that came without a name gets that of its type.
    """
    place = folder / str(len(list(folder.iterdir())))
    place.mkdir()
    suffix = mimetypes.guess_extension(file.content_type) or ""
    path = place / (PurePath(file.name or "").name or f"file{suffix}")
    try:
        os.link(file.path, path)
    except OSError:  # another disk, or one that knows no links
        shutil.copyfile(file.path, path)
    return path


BINARY = Annotated[bytes, ContentType(OCTETS)]
"""Bytes that a file may be sent for; base64 text in JSON, and raw as a whole answer."""

IN_JSON = Annotated[str, WithJsonSchema({"type": "string", "format": "uri"})]
"""A file inside an answer that is JSON: a `data:` URL."""


def data_url(content: bytes, content_type: str) -> str:
    """Bytes as a text that says their type."""
    return f"data:{content_type};base64,{base64.b64encode(content).decode()}"


def file_url(path: Path) -> str:
    """A file on disk as a `data:` URL; its name tells the type."""
    return data_url(path.read_bytes(), mimetypes.guess_type(path.name)[0] or OCTETS)


@contextmanager
def unpacked(
    arguments: Mapping[str, object], receive: Receive | None
) -> Generator[dict[str, object], None, None]:
    """The arguments, with what the framework wants in the place of each file, for one call."""
    if receive is None or not has_file(arguments):
        yield dict(arguments)
        return
    with TemporaryDirectory(prefix="livepeer-") as name:
        folder = Path(name)
        make = receive  # a closure forgets that it is not None
        yield {
            key: mapped(value, File, lambda file: make(file, folder))
            for key, value in arguments.items()
        }


def has_file(value: object) -> bool:
    """Whether it is a file, or a list or mapping with one in it."""
    if isinstance(value, (list, tuple)):
        return any(map(has_file, cast("list[object]", value)))
    if isinstance(value, dict):
        return any(map(has_file, cast("dict[object, object]", value).values()))
    return isinstance(value, File)


def mapped(value: object, kind: type[T], make: Callable[[T], object]) -> object:
    """A value with all of one kind in it, in its lists and mappings too, made into another."""
    if isinstance(value, kind):
        return make(value)
    if isinstance(value, (list, tuple)):
        items = [mapped(item, kind, make) for item in cast("list[object]", value)]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        entries = cast("dict[object, object]", value)
        return {key: mapped(item, kind, make) for key, item in entries.items()}
    return value
