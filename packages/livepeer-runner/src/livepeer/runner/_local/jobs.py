"""The job that a caller asks for: the `Livepeer` header and the credentials of a token request.

Pure: parsing and checking only. Source of each rule: go-livepeer `byoc/utils.go`
(`parseJobRequest`), `byoc/types.go`, `byoc/job_orchestrator.go` (`verifyJobCreds`,
`verifyTokenCreds`). The texts are go-livepeer's and callers tell them apart by these.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from dataclasses import dataclass, field
from typing import Final, cast

from . import gojson

JOB_HEADER: Final = "Livepeer"
ADDRESS_HEADER: Final = "Livepeer-Eth-Address"
CAPABILITY_HEADER: Final = "Livepeer-Capability"
BALANCE_HEADER: Final = "Livepeer-Balance"
SSE_BALANCE_HEADER: Final = "Livepeer-Payment-Balance"

NO_TIMEOUT: Final = "no timeout_seconds set with request, timeout_seconds is required"
NO_CREDS: Final = "Could not verify job creds"
NO_CAPACITY: Final = "No capacity available for capability"
NO_BALANCE: Final = "Insufficient balance for request"
NO_PAYMENT: Final = "Could not parse payment"

_V1_PREFIX = b"LP_BYOC_JOB_V1\0\0"
_JOB_FIELDS: dict[str, gojson.Kind] = {
    "id": "string",
    "request": "string",
    "parameters": "string",
    "capability": "string",
    "capability_url": "string",
    "sender": "string",
    "sig": "string",
    "timeout_seconds": "int",
}
_PARAMETER_FIELDS: dict[str, gojson.Kind] = {
    "orchestrators": "struct",
    "enable_video_ingress": "bool",
    "enable_video_egress": "bool",
    "enable_data_output": "bool",
}


class BadJob(ValueError):
    """The header cannot be used; the message is the gateway's reason."""


class NoTimeout(BadJob):
    """The header names no time limit."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """One job as its header describes it.

    `request` and `parameters` are the strings as they were sent: signatures cover these bytes.
    """

    id: str = ""
    request: str = ""
    parameters: str = ""
    capability: str = ""
    sender: str = ""
    sig: str = field(default="", repr=False)
    timeout_seconds: int = 0

    def legacy_message(self) -> bytes:
        """What go-livepeer's master signs: the request, then the parameters, nothing between."""
        return (self.request + self.parameters).encode()

    def v1_message(self) -> bytes:
        """What the V1 branches sign: every field, each with its length.

        Raises:
            BadJob: `timeout_seconds` does not fit in 32 bits.
        """
        if not 0 <= self.timeout_seconds < 2**32:
            raise BadJob(f"timeout_seconds exceeds maximum {2**32 - 1}")
        parts = [_V1_PREFIX, struct.pack(">I", self.timeout_seconds)]
        for text in (self.id, self.capability, self.request, self.parameters):
            data = text.encode()
            parts += (struct.pack(">I", len(data)), data)
        return b"".join(parts)

    def header(self) -> str:
        """The value of the `Livepeer` header."""
        return _encode(
            {
                "id": self.id,
                "request": self.request,
                "parameters": self.parameters,
                "capability": self.capability,
                "capability_url": "",
                "sender": self.sender,
                "sig": self.sig,
                "timeout_seconds": self.timeout_seconds,
            }
        )


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks for a token: an address and its signature over that string."""

    addr: str = ""
    sig: str = field(default="", repr=False)

    def header(self) -> str:
        """The value of the `Livepeer-Eth-Address` header."""
        return _encode({"addr": self.addr, "sig": self.sig})


@dataclass(frozen=True, slots=True)
class JobParameters:
    """What the `parameters` of a job say to gateway and orchestrator."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    video_ingress: bool = False
    video_egress: bool = False
    data_output: bool = False


def parse_job(header: str) -> JobRequest:
    """Read the `Livepeer` header.

    Raises:
        NoTimeout: `timeout_seconds` is 0 or absent.
        BadJob: Not base64, not JSON, or a field of the wrong type.
    """
    try:
        found = gojson.struct(_decode(header), "byoc.JobRequest", _JOB_FIELDS)
    except gojson.GoJSONError as error:
        raise BadJob(str(error)) from None
    text = {key: str(found.get(key, "")) for key, kind in _JOB_FIELDS.items() if kind == "string"}
    timeout = cast("int", found.get("timeout_seconds", 0))
    if timeout == 0:
        raise NoTimeout(NO_TIMEOUT)
    # Whatever the caller says about the runner's address is overwritten upstream.
    del text["capability_url"]
    return JobRequest(**text, timeout_seconds=timeout)


def parse_credentials(header: str) -> Credentials:
    """Read the `Livepeer-Eth-Address` header.

    Raises:
        BadJob: Not base64, not JSON, or a field of the wrong type.
    """
    try:
        found = gojson.struct(
            _decode(header), "byoc.JobSender", {"addr": "string", "sig": "string"}
        )
    except gojson.GoJSONError as error:
        raise BadJob(str(error)) from None
    return Credentials(str(found.get("addr", "")), str(found.get("sig", "")))


def stream_id(request: str) -> str:
    """The stream that a job's `request` names, "" for none.

    Raises:
        gojson.GoJSONError: It is no JSON object or null, or its `stream_id` is no string.
    """
    found = gojson.struct(request, "byoc.JobRequestDetails", {"stream_id": "string"})
    return str(found.get("stream_id", ""))


def parse_parameters(parameters: str) -> JobParameters:
    """Read a job's `parameters`.

    Raises:
        gojson.GoJSONError: They are no JSON object or null, or a known key has the wrong type.
    """
    found = gojson.struct(parameters, "byoc.JobParameters", _PARAMETER_FIELDS)
    lists = gojson.pick(
        cast("dict[str, gojson.JSONValue]", found.get("orchestrators", {})),
        "JobParameters.orchestrators",
        {"exclude": "[]string", "include": "[]string"},
    )
    return JobParameters(
        include=_strings(lists.get("include")),
        exclude=_strings(lists.get("exclude")),
        video_ingress=found.get("enable_video_ingress") is True,
        video_egress=found.get("enable_video_egress") is True,
        data_output=found.get("enable_data_output") is True,
    )


def signature_bytes(text: str) -> bytes:
    """Decode a signature's hex digits, with or without `0x`.

    Two characters are taken off a string longer than 130, whatever they are, so that the bare
    string "0x" fails and "" is an empty signature.

    Raises:
        BadJob: No hex.
    """
    digits = text[2:] if len(text) > 130 else text
    try:
        return binascii.unhexlify(digits)
    except ValueError:
        raise BadJob("ErrSegSig") from None


def address_bytes(text: str) -> bytes:
    """The 20 bytes of an address in any letter case, with or without `0x`.

    What is too short is filled with zeros, and what is no hex ends it, as in go-ethereum's
    `HexToAddress`, which never fails.
    """
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    if len(digits) % 2:
        digits = "0" + digits
    data = bytearray()
    for index in range(0, len(digits), 2):
        try:
            data += binascii.unhexlify(digits[index : index + 2])
        except ValueError:
            break
    return bytes(data)[-20:].rjust(20, b"\0")


def _decode(header: str) -> bytes:
    """Standard alphabet, padded: anything else is refused upstream too."""
    try:
        return base64.b64decode(header, validate=True)
    except ValueError:
        raise BadJob("ErrorSegEncoding") from None


def _encode(value: dict[str, str | int]) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(text.encode()).decode()


def _strings(value: gojson.JSONValue) -> tuple[str, ...]:
    return tuple(str(item or "") for item in value) if isinstance(value, list) else ()
