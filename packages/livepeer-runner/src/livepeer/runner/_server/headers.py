"""The headers by which an answer names its request and says when to come again; pure.

Of what a runner answers, the orchestrator hands `Content-Type` and `X-Metadata` back and no other
header (go-livepeer `byoc/job_orchestrator.go`), so `X-Metadata` repeats the others as compact JSON.
"""

from __future__ import annotations

import re
from random import getrandbits
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

REQUEST_ID: Final = b"x-request-id"
METADATA: Final = b"x-metadata"
RETRY_AFTER: Final = b"retry-after"

_IN_SCOPE: Final = "livepeer.request_id"
# What is safe, unquoted, in a header, a log and JSON.
_SANE: Final = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def request_id(scope: MutableMapping[str, Any]) -> str:  # the type of an ASGI scope
    """What names a request: as its caller says in `X-Request-ID`, if that is sane, else made here.

    It is decided once and kept in the scope, so that whoever asks again hears the same.

    Args:
        scope: The ASGI scope of an HTTP request.
    """
    known = scope.get(_IN_SCOPE)
    if isinstance(known, str):
        return known
    name = _given(scope["headers"]) or f"{getrandbits(128):032x}"
    scope[_IN_SCOPE] = name
    return name


def answer_headers(
    name: str, version: str, retry_after_s: int | None = None
) -> list[tuple[bytes, bytes]]:
    """The headers that every answer has.

    Args:
        name: What names the request.
        version: Of the runner, as `/version` answers it.
        retry_after_s: When another attempt is worth making, in whole seconds; None for no hint.
    """
    metadata = f'"request_id":"{name}","version":"{version}"'
    if retry_after_s is None:
        return [(REQUEST_ID, name.encode()), (METADATA, f"{{{metadata}}}".encode())]
    metadata = f'{{{metadata},"retry_after":{retry_after_s}}}'
    return [
        (REQUEST_ID, name.encode()),
        (METADATA, metadata.encode()),
        (RETRY_AFTER, b"%d" % retry_after_s),
    ]


def is_carried(name: str, value: object) -> bool:
    """Whether HTTP can carry a header that an author gives.

    Args:
        name: Of the header.
        value: What the author gave, which may be anything.
    """
    if not isinstance(value, str) or not _NAME.fullmatch(name):
        return False
    return bool(_VALUE.fullmatch(value))


def _given(headers: list[tuple[bytes, bytes]]) -> str | None:
    for key, value in headers:
        if key == REQUEST_ID:
            return value.decode() if _SANE.fullmatch(value) else None
    return None
