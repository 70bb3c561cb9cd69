"""Jobs as callers describe them, as they travel, and what of them is signed. Pure.

Source: go-livepeer `byoc/types.go`, `byoc/utils.go`; the V1 message is `FlattenBYOCJob` of the
branch `feat/remote-signer-byoc`.
"""

from __future__ import annotations

import base64
import re
import secrets
import struct
from dataclasses import dataclass, field
from json.encoder import encode_basestring as _quoted
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from livepeer.client.errors import InvalidJob

from .encoding import dump_json

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TIMEOUT_S: Final = 2**32 - 1
"""The V1 message has room for no more."""

Scheme: TypeAlias = Literal["legacy", "v1"]
"""Which strings of a job are signed. Released orchestrators take `legacy` only, the V1 branches
`v1` only, and nothing on the wire tells which."""

_V1_DOMAIN: Final = b"LP_BYOC_JOB_V1\0\0"
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
# An id is the prefix of the stream's channels; the id of one must not be a channel of another.
_CHANNEL_SUFFIXES: Final = ("-out", "-control", "-events", "-data")


def new_job_id() -> str:
    """A fresh random id: a second stream of one id closes the channels of the first."""
    return secrets.token_hex(8)


class Job(NamedTuple):
    """A job in the exact strings that travel and are signed.

    A tuple, as each call makes one, and a frozen dataclass costs more than twice that.

    Attributes:
        id: The job's id; of a stream start, the stream id and the prefix of its channels.
        request: JSON text of an object, of which the network reads `stream_id` only.
        parameters: JSON text of an object: the channels that a stream wants.
        capability: The registered name.
        timeout_s: Seconds, at least 1.
    """

    capability: str
    timeout_s: int
    id: str = ""
    request: str = "{}"
    parameters: str = "{}"

    def legacy_message(self) -> bytes:
        """What the released go-livepeer verifies: `request` and then `parameters`."""
        return (self.request + self.parameters).encode()

    def v1_message(self) -> bytes:
        """What the V1 branches verify: every field, each with its length."""
        parts = [_V1_DOMAIN, struct.pack(">I", self.timeout_s)]
        for text in (self.id, self.capability, self.request, self.parameters):
            data = text.encode()
            parts += (struct.pack(">I", len(data)), data)
        return b"".join(parts)

    def header(self, *, sender: str = "", signature: str = "") -> str:
        """The value of the `Livepeer` header; unsigned for a gateway, which signs itself."""
        signed = f'"sender":{_quoted(sender)},"sig":{_quoted(signature)},' if sender else ""
        # Put together by hand: a call has one of these, and an encoder of JSON costs thrice that.
        text = (
            f'{{"id":{_quoted(self.id)},"request":{_quoted(self.request)},'
            f'"parameters":{_quoted(self.parameters)},"capability":{_quoted(self.capability)},'
            f'{signed}"timeout_seconds":{self.timeout_s}}}'
        )
        return base64.b64encode(text.encode()).decode()


@dataclass(frozen=True, kw_only=True)
class SignedJob:
    """A job with the address that answers for it.

    The signature stays out of the representation: the legacy scheme covers neither time nor
    nonce, so whoever reads one can use it.

    Attributes:
        job: The job.
        sender: The address.
        signature: Hexadecimal with `0x`.
        scheme: By which it is signed.
    """

    job: Job
    sender: str
    signature: str = field(repr=False)
    scheme: Scheme

    def header(self) -> str:
        """The value of the `Livepeer` header."""
        return self.job.header(sender=self.sender, signature=self.signature)


@dataclass(frozen=True, kw_only=True)
class BYOCJobRequest:
    """What a caller asks of a capability ("bring your own container").

    Attributes:
        capability: The registered name.
        request: Details for the network, opaque but for `stream_id`, which is set from `id`.
        parameters: Further parameters, such as `{"orchestrators": {"include": [...]}}`.
        timeout_s: Whole seconds that the runner has for its answer, 1 or more.
        id: The job's id: letters, digits, `_` and `-`; random by default. Never use one twice.
        enable_video_ingress: A stream takes media in.
        enable_video_egress: A stream gives media out.
        enable_data_output: A stream gives data out.

    Raises:
        InvalidJob: A field cannot be sent; the text names it.
    """

    capability: str
    request: Mapping[str, object] = field(default_factory=dict[str, object])
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    timeout_s: int = 60
    id: str = field(default_factory=new_job_id)
    enable_video_ingress: bool = False
    enable_video_egress: bool = False
    enable_data_output: bool = False

    def __post_init__(self) -> None:
        check_capability(self.capability)
        check_timeout(self.timeout_s)
        if not _ID.fullmatch(self.id):
            raise InvalidJob(f"`id` must be 1 to 128 letters, digits, '_' or '-', not {self.id!r}")
        if self.id.endswith(_CHANNEL_SUFFIXES):
            raise InvalidJob(f"`id` must not end like the name of a channel: {self.id!r}")

    def job(self) -> Job:
        """The exact strings of a batch job."""
        return self._job(self.request)

    def stream_job(self) -> Job:
        """The exact strings of a stream start."""
        return self._job({**self.request, "stream_id": self.id})

    def _job(self, request: Mapping[str, object]) -> Job:
        flags = {
            "enable_video_ingress": self.enable_video_ingress,
            "enable_video_egress": self.enable_video_egress,
            "enable_data_output": self.enable_data_output,
        }
        on = {name: True for name, wanted in flags.items() if wanted}
        return Job(
            id=self.id,
            request=dump_json(dict(request), "request"),
            parameters=dump_json({**self.parameters, **on}, "parameters"),
            capability=self.capability,
            timeout_s=self.timeout_s,
        )


def stream_control_job(capability: str, stream_id: str, timeout_s: int) -> Job:
    """The job that updates or stops a stream.

    A gateway asks its orchestrator for a token of `capability` first, so it must be named; and a
    remote signer signs nothing that has no id.
    """
    return Job(
        id=stream_id,
        request=dump_json({"stream_id": stream_id}, "stream_id"),
        capability=capability,
        timeout_s=timeout_s,
    )


def check_capability(capability: str) -> None:
    """Refuse a name that no header can carry."""
    if not capability or not capability.isprintable() or capability != capability.strip():
        raise InvalidJob(f"`capability` must be a printable name, not {capability!r}")


def check_timeout(timeout_s: object) -> None:
    """Refuse what Go cannot read as whole seconds: a float makes the whole header unreadable."""
    whole = timeout_s if isinstance(timeout_s, int) and not isinstance(timeout_s, bool) else 0
    if not 1 <= whole <= MAX_TIMEOUT_S:
        raise InvalidJob(f"`timeout_s` must be whole seconds, 1 or more, not {timeout_s!r}")
