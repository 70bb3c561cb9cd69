"""The bytes of each request, what is counted in the answer, and whether it is the right one."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, cast

from . import work as works
from .setup import COG
from .work import TOKEN, negative, token

if TYPE_CHECKING:
    from collections.abc import Mapping

ITEM_COUNT = 200
PACED_COUNT = 10
BINARY_BYTES = 1_000_000
PICTURE_SIZE = (640, 360)
_BOUNDARY = "benchmark-boundary"


@dataclass(frozen=True)
class Request:
    """One request as it is sent, over and over.

    Attributes:
        raw: All of its bytes.
        mark: What stands once for each item in the answer; empty where there are no items.
    """

    raw: bytes
    mark: bytes


def request(subject: str, work: str, values: Mapping[str, object] | None = None) -> Request:
    """The request for a work, as a subject wants it.

    Args:
        subject: Whose request.
        work: What is asked for.
        values: The fields of the body; None for those that the work is measured with.
    """
    headers = {"Host": "127.0.0.1", "Content-Type": "application/json"}
    mark = b""
    if work in works.STREAMS:
        # Cog repeats all items in its last event.
        mark = b'"chunk"' if subject == COG else TOKEN.encode()
        headers["Accept"] = "text/event-stream"
    if work == works.BINARY:
        headers["Content-Type"] = f"multipart/form-data; boundary={_BOUNDARY}"
        body = _multipart(binary())
    else:
        fields = dict(values) if values is not None else _fields(work)
        body = json.dumps({"input": fields} if subject == COG else fields).encode()
    headers["Content-Length"] = str(len(body))
    path = "/predictions" if subject == COG else "/predict"
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return Request("\r\n".join([*lines, "", ""]).encode() + body, mark)


def items_of(work: str) -> int:
    """How many items an answer has; 0 where it is none of items."""
    if work not in works.STREAMS:
        return 0
    return PACED_COUNT if work in (works.PACED, works.APACED) else ITEM_COUNT


def fault(subject: str, work: str, status: int, body: bytes) -> str | None:
    """What is wrong with an answer, in words; None when it is the right one."""
    if status != 200:
        return f"status {status}: {body[:200].decode(errors='replace')}"
    if work in works.STREAMS:
        return _stream_fault(subject, work, body)
    if work == works.BINARY:
        return None if body == binary() else "the bytes are not those that were sent"
    said = _answered(subject, body)
    if work in (works.IMAGE, works.BASE64):
        data = base64.b64decode(str(said))
        wanted = negative(picture()) if work == works.IMAGE else binary()
        return None if data == wanted else "the answer is not what was asked for"
    wanted_text = "rested" if work == works.NAP else "hellohello"
    return None if said == wanted_text else f"the answer is {said!r}"


@cache
def binary() -> bytes:
    """The bytes that go in and out."""
    return bytes(range(256)) * (BINARY_BYTES // 256) + bytes(BINARY_BYTES % 256)


@cache
def picture() -> bytes:
    """A JPEG picture with shades and edges."""
    from PIL import Image

    shades = Image.linear_gradient("L").resize(PICTURE_SIZE)
    rings = Image.radial_gradient("L").resize(PICTURE_SIZE)
    edges = Image.effect_mandelbrot(PICTURE_SIZE, (-2.2, -1.2, 0.8, 1.2), 60)
    written = io.BytesIO()
    Image.merge("RGB", (shades, rings, edges)).save(written, "JPEG", quality=works.QUALITY)
    return written.getvalue()


def _fields(work: str) -> dict[str, object]:
    if work in (works.SYNC, works.ASYNC):
        return {"text": "hello", "times": 2}
    if work == works.NAP:
        return {"seconds": 0.0}
    if work in (works.IMAGE, works.BASE64):
        data = picture() if work == works.IMAGE else binary()
        return {"data": base64.b64encode(data).decode()}
    return {"count": items_of(work)}


def _multipart(data: bytes) -> bytes:
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="data"; filename="data.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + data + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _answered(subject: str, body: bytes) -> object:
    """The one value of a JSON answer."""
    answer = cast("dict[str, object]", json.loads(body))
    if subject == COG:
        return answer["output"]
    return next(iter(answer.values()))


def _stream_fault(subject: str, work: str, body: bytes) -> str | None:
    count = items_of(work)
    found = body.count(request(subject, work).mark)
    if found != count:
        return f"{found} items of {count} came"
    last = token(count - 1).encode()
    return None if last in body else "the last item is missing"
