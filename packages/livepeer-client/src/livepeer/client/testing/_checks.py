"""What a node checks of a request's headers, and its errors. No code of the client's is used here.

Source: go-livepeer `byoc/utils.go`, `crypto/verify.go`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from aiohttp import web

from livepeer.client._eth import load_account


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
        """The stream that the request names."""
        return str(json.loads(self.request).get("stream_id", ""))

    @property
    def flags(self) -> dict[str, bool]:
        """The channels that the parameters ask for."""
        return {name: bool(value) for name, value in json.loads(self.parameters or "{}").items()}


def refuse(status: int, text: str) -> web.Response:
    """An error as Go's `http.Error` writes it: the text and a line break."""
    return web.Response(
        status=status,
        body=text.encode() + b"\n",
        content_type="text/plain",
        charset="utf-8",
        headers={"X-Content-Type-Options": "nosniff"},
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


def is_signed(message: str, signature: str, address: str) -> bool:
    """Whether `address` signed `message` by the rule that released orchestrators verify."""
    account = load_account()
    from eth_account.messages import encode_defunct  # lazy: as above
    from eth_utils.crypto import keccak  # lazy: as above

    digits = signature[2:] if len(signature) > 130 else signature
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        return False
    if len(raw) != 65 or raw[64] not in (27, 28):
        return False
    signed = encode_defunct(primitive=keccak(text=message))
    return str(account.recover_message(signed, signature=raw)).lower() == address.lower()
