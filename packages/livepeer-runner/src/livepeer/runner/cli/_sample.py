"""A call to paste: a payload that fits, and the commands around it."""

from __future__ import annotations

import base64
import json
import os
import shlex
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PLACEHOLDERS: Mapping[str, object] = {
    "string": "text",
    "integer": 1,
    "number": 1.0,
    "boolean": True,
    "array": [],
    "object": {},
}

# An hour of a stream.
_PAID_S = 3600

_MAKE_KEY = "import secrets; print(secrets.token_hex(32))"


def payload(schema: Mapping[str, object]) -> dict[str, object]:
    """A payload with the required fields of a JSON schema, each with an example or a stand-in."""
    properties = cast("Mapping[str, Mapping[str, object]]", schema.get("properties", {}))
    required = cast("Sequence[str]", schema.get("required", ()))
    return {name: _value(properties.get(name, {})) for name in required}


def _value(schema: Mapping[str, object]) -> object:
    examples = cast("Sequence[object]", schema.get("examples", ()))
    choices = cast("Sequence[object]", schema.get("enum", ()))
    if examples or choices:
        return (*examples, *choices)[0]
    return _PLACEHOLDERS.get(str(schema.get("type", "")))


def _livepeer() -> list[str]:
    """How the command was reached, so that a pasted line finds it: `uv run` sets this variable."""
    return ["uv", "run", "livepeer"] if "UV" in os.environ else ["livepeer"]


def batch_commands(
    capability: str,
    gateway: str,
    body: Mapping[str, object],
    *,
    files: Sequence[str] = (),
    raw: bool = False,
) -> list[str]:
    """The call by `livepeer`, and the same by curl.

    Args:
        capability: The name that is registered.
        gateway: Its URL.
        body: A payload that fits.
        files: The fields of it that are files.
        raw: Whether the answer is the bytes of one.
    """
    text = json.dumps(body)
    job = {
        "request": "{}",
        "parameters": "{}",
        "capability": capability,
        "timeout_seconds": 60,
    }
    header = base64.b64encode(json.dumps(job).encode()).decode()
    curl = [
        *("curl", f"{gateway}/process/request/predict", "-H", f"Livepeer: {header}"),
        *(_form(body, files) if files else ("-d", text)),
        *(("-o", "OUT") if raw else ()),
    ]
    fields = {name: value for name, value in body.items() if name not in files}
    call = [
        *(*_livepeer(), "call", capability),
        *([json.dumps(fields)] if fields or not files else []),
        *(part for name in body if name in files for part in ("--form", f"{name}=@FILE")),
        *("--gateway", gateway),
        *(("--output", "OUT") if raw else ()),
    ]
    return [shlex.join(command) for command in (call, curl)]


def _form(body: Mapping[str, object], files: Sequence[str]) -> list[str]:
    """Curl's options for a form; each FILE is for the reader to put in."""
    options: list[str] = []
    for name, value in body.items():
        if name in files:
            options += ["-F", f"{name}=@FILE"]
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            options += ["--form-string", f"{name}={text}"]
    return options


def live_commands(capability: str, orchestrator: str, *, price: int) -> list[str]:
    """The stream of a file; any key pays on the local network, which redeems no ticket."""
    stream = [*_livepeer(), "stream", capability, "--orchestrator", orchestrator]
    stream += ["--input", "in.mp4", "--output", "out.mp4"]
    if not price:
        return [shlex.join(stream)]
    key = shlex.join(_python(_MAKE_KEY))
    paid = [*stream, "--key-file", "key.txt", "--max-spend", str(price * _PAID_S)]
    return [f"{key} > key.txt", shlex.join(paid)]


def text_commands(
    capability: str, orchestrator: str, params: Mapping[str, object], *, price: int
) -> list[str]:
    """A stream without media, which `livepeer` does not make: one update, and its answer."""
    names, options = "SyncClient", f'orchestrators=["{orchestrator}"]'
    if price:
        names = f"LocalSigner, {names}, TicketPayments"
        options += ", signer=(key := LocalSigner.ephemeral()), payments=TicketPayments(key)"
        options += f", max_spend={price * _PAID_S}"
    given = ", ".join(f"{json.dumps(name)}: {_literal(value)}" for name, value in params.items())
    program = (
        f"from livepeer.client import {names}; client = SyncClient({options}); job ="
        f' client.start_stream("{capability}", video_in=False, video_out=False);'
        f" job.update({{{given}}}); print(next(job.data()))"
    )
    return [shlex.join(_python(program))]


def _literal(value: object) -> str:
    """As Python reads it; text without quotes that a shell would have to mask."""
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _python(program: str) -> list[str]:
    return [*_livepeer()[:-1], "python", "-c", program]
