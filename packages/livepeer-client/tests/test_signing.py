"""Signatures and headers against golden vectors that go-livepeer accepts."""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import sys
import traceback
from typing import Any

import pytest

from livepeer.client import ClientError, ConfigError, InvalidKey, Job, LocalSigner
from livepeer.client.signing import Scheme, TokenCredentials


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

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) == 18
    assert all(issubclass(kind, ClientError) for kind in kinds)
    drawn = errors.__doc__ or ""
    assert all(kind.__name__ in drawn for kind in kinds)


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
