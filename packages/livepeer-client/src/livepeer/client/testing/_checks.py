"""What a node checks of a request's headers, and its errors. No code of the client's is used here.

Source: go-livepeer `byoc/utils.go`, `crypto/verify.go`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ._branch import v1_message
from ._gojson import GoObject
from ._keys import hex_signature, is_signed
from ._runner import SeenRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

_FLAGS: Final = ("enable_video_ingress", "enable_video_egress", "enable_data_output")


@dataclass(frozen=True, kw_only=True)
class JobFields:
    """The fields of a `Livepeer` header."""

    id: str = ""
    request: str = ""
    parameters: str = ""
    capability: str = ""
    sender: str = ""
    sig: str = ""
    timeout_seconds: int = 0

    @property
    def stream_id(self) -> str:
        """The stream that the request names; raises ValueError for one that is no object."""
        return GoObject.parse(self.request.encode(), "JobRequestDetails").text("stream_id")

    @property
    def flags(self) -> dict[str, bool]:
        """The channels that the parameters ask for; raises ValueError for what is no object."""
        fields = GoObject.parse(self.parameters.encode() or b"null", "JobParameters")
        return {name: bool(fields.raw(name)) for name in _FLAGS}


def refuse(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error as Go's `http.Error` writes it: the text and a line break."""
    return web.Response(
        status=status,
        body=text.encode() + b"\n",
        content_type="text/plain",
        charset="utf-8",
        headers={"X-Content-Type-Options": "nosniff", **(headers or {})},
    )


def decode(value: str | None) -> dict[str, object] | None:
    """A header of base64 and JSON, read as strictly as Go does; None when it cannot be read."""
    if value is None:
        return None
    try:
        fields: object = json.loads(base64.b64decode(value, validate=True))
    except ValueError:
        return None
    return {str(k): v for k, v in fields.items()} if isinstance(fields, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


async def record(request: web.Request) -> SeenRequest:
    """What a test may want to know of a request, its body read."""
    return SeenRequest(
        method=request.method,
        path=request.raw_path,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=await request.read(),
        job=decode(request.headers.get("Livepeer")) or {},
    )


def read_job(value: str | None) -> JobFields | None:
    """The job header, or None where Go cannot read it into its struct."""
    fields = decode(value)
    if fields is None:
        return None
    kinds = {"timeout_seconds": int}
    known = {k: v for k, v in fields.items() if k in JobFields.__dataclass_fields__}
    for name, field in known.items():
        if type(field) is not kinds.get(name, str):
            return None
    return JobFields(**known)  # type: ignore[arg-type]  # the loop above checked each of them


def is_job_signed(job: JobFields, sender: bytes, *, legacy: bool) -> bool:
    """Whether `sender` signed the job: request and parameters alone, or all of it (V1)."""
    signature = hex_signature(job.sig)
    if signature is None:
        return False
    if legacy:
        message = (job.request + job.parameters).encode()
    else:
        parts = (job.id, job.capability, job.request, job.parameters)
        message = v1_message(job.timeout_seconds, *parts)
    return is_signed(message, signature, sender)
