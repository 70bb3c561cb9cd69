"""Signatures and headers against golden vectors that go-livepeer accepts."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from livepeer.client import ClientError, ConfigError, InvalidKey, Job, LocalSigner
from livepeer.client._sign.signing import Scheme, TokenCredentials

if TYPE_CHECKING:
    from collections.abc import Sequence


def job_of(fields: dict[str, Any]) -> Job:
    return Job(
        id=fields["id"],
        request=fields["request"],
        parameters=fields["parameters"],
        capability=fields["capability"],
        timeout_s=fields["timeout_seconds"],
    )


def signer_of(vectors: dict[str, Any], name: str, scheme: Scheme = "legacy") -> LocalSigner:
    key = next(key for key in vectors["keys"] if key["name"] == name)
    signer = LocalSigner.from_key(key["private_key"], scheme=scheme)
    assert signer.address == key["address_eip55"]
    return signer


async def test_legacy_signatures(vectors: dict[str, Any]) -> None:
    rows = vectors["job_signature_legacy_HEAD"]["vectors"]
    assert len(rows) == 8
    for row in rows:
        job = job_of(row["fields"])
        assert job.legacy_message().hex() == row["message_hex"]
        signed = await signer_of(vectors, row["key"]).sign_job(job)
        assert signed.signature == row["signature"], row["name"]
        assert signed.header() == row["livepeer_header_value"], row["name"]


async def test_v1_signatures(vectors: dict[str, Any]) -> None:
    rows = vectors["job_signature_v1_branch"]["vectors"]
    assert len(rows) == 8
    for row in rows:
        job = job_of(row["fields"])
        assert job.v1_message().hex() == row["payload_hex"]
        signed = await signer_of(vectors, row["key"], "v1").sign_job(job)
        assert signed.signature == row["signature"], row["name"]
        assert signed.header() == row["livepeer_header_value"], row["name"]


async def test_a_signer_signs_by_both_schemes(vectors: dict[str, Any]) -> None:
    legacy = vectors["job_signature_legacy_HEAD"]["vectors"][0]
    v1 = next(
        row
        for row in vectors["job_signature_v1_branch"]["vectors"]
        if (row["key"], row["fields"]) == (legacy["key"], legacy["fields"])
    )
    key = next(key for key in vectors["keys"] if key["name"] == legacy["key"])
    signer, job = LocalSigner.from_key(key["private_key"]), job_of(legacy["fields"])
    assert signer.schemes == ("legacy", "v1")
    assert (await signer.sign_job(job)).signature == legacy["signature"]
    assert (await signer.sign_job(job, "v1")).signature == v1["signature"]


async def test_equal_messages_are_signed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = LocalSigner.ephemeral()
    hashes: list[bytes] = []
    sign = signer.sign_hashes

    async def counted(given: Sequence[bytes]) -> list[bytes]:
        hashes.extend(given)
        return await sign(given)

    monkeypatch.setattr(signer, "sign_hashes", counted)
    jobs = [Job(id=f"{n}", capability=f"c{n}", timeout_s=n + 1) for n in range(50)]
    signed = await asyncio.gather(*(signer.sign_job(job) for job in jobs))
    # The plain form covers neither id nor capability nor time; the V1 form covers all of them.
    assert len(hashes) == len({each.signature for each in signed}) == 1
    await asyncio.gather(*(signer.sign_job(job, "v1") for job in jobs))
    assert len(hashes) == 51


async def test_hashes_are_signed_as_they_are(vectors: dict[str, Any]) -> None:
    (row,) = [row for row in vectors["pm_ticket"]["vectors"] if "ticket_signature_by_K1" in row]
    hashed = bytes.fromhex(row["hash"].removeprefix("0x"))
    (signature,) = await signer_of(vectors, "K1").sign_hashes([hashed])
    assert "0x" + signature.hex() == row["ticket_signature_by_K1"]
    with pytest.raises(ValueError, match="32"):
        await LocalSigner.ephemeral().sign_hashes([b"short"])


async def test_token_credentials(vectors: dict[str, Any]) -> None:
    rows = [row for row in vectors["token_creds"] if "header_value" in row]
    assert len(rows) == 2
    for row in rows:
        signer = signer_of(vectors, row["key"])
        credentials = await signer.token_credentials()
        assert credentials.header() == row["header_value"]
        assert await signer.token_credentials() is credentials


def test_credentials_keep_the_letter_case_of_the_address() -> None:
    header = TokenCredentials(address="0xAbCd", signature="0x12").header()
    assert json.loads(base64.b64decode(header)) == {"addr": "0xAbCd", "sig": "0x12"}


def test_ephemeral_keys_differ() -> None:
    assert LocalSigner.ephemeral().address != LocalSigner.ephemeral().address


def test_a_key_may_have_no_prefix(vectors: dict[str, Any]) -> None:
    key = vectors["keys"][0]
    signer = LocalSigner.from_key(key["private_key"].removeprefix("0x"))
    assert signer.address == key["address_eip55"]


@pytest.mark.parametrize("key", ["", "0x12", "zz" * 32, "f" * 64, "ab" * 31 + "zq"])
def test_a_bad_key_is_refused_without_a_word_of_it(key: str) -> None:
    with pytest.raises(InvalidKey) as caught:
        LocalSigner.from_key(key)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    text = "".join(traceback.format_exception(caught.value))
    # The source line of the raise has digits of its own; no key above is part of it.
    assert len(key) < 5 or key not in text
    # Nor in what a reporter of errors may show of the frames.
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)][1:]
    assert all(key not in frame.f_locals.values() for frame in frames)


async def test_the_key_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    key = "c0ffee" * 10 + "abcd"
    with caplog.at_level(logging.DEBUG):
        signer = LocalSigner.from_key(key)
        signed = await signer.sign_job(Job(capability="x", timeout_s=1))
        shown = f"{signer!r} {signer} {signed!r} {await signer.token_credentials()!r}"
    assert key not in shown + caplog.text
    assert signer.address in shown
    # A legacy signature can be used by whoever reads it.
    assert signed.signature not in shown


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ConfigError, match="scheme"):
        LocalSigner.ephemeral(scheme="v2")  # type: ignore[arg-type]  # the mistake under test


def test_without_the_library_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['eth_account'] = None\n"
        "from livepeer.client import LocalSigner, MissingExtra\n"
        "try: LocalSigner.ephemeral()\n"
        "except MissingExtra as error: print(error)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "livepeer-client[eth]" in ran.stdout


def test_every_error_is_a_client_error() -> None:
    from livepeer.client import errors

    kinds = {kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type)}
    assert all(issubclass(kind, ClientError) for kind in kinds.values())
    drawn = re.findall(r"^[│ ]*[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE)
    assert {"ClientError", *drawn} == set(kinds)
    assert len(drawn) == len(set(drawn))


def test_the_library_leaves_the_recursion_limit_alone():
    code = (
        "import json, sys\n"
        "from livepeer.client import LocalSigner\n"
        "before = sys.getrecursionlimit()\n"
        "LocalSigner.ephemeral()\n"
        "assert sys.getrecursionlimit() == before\n"
        "try:\n    json.loads('[' * 100_000)\nexcept RecursionError:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused\n", "")
