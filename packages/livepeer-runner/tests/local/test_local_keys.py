"""Signature checks against the golden vectors, and the throw-away key."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from livepeer.runner._local import jobs
from livepeer.runner._local.errors import VerifyUnavailable
from livepeer.runner._local.keys import AnySignature, EthereumVerifier, NoKey, ThrowAwayKey


@pytest.fixture(scope="module")
def verifier() -> EthereumVerifier:
    return EthereumVerifier()


def address(vectors: dict[str, Any], key: str) -> bytes:
    text = next(row["address_eip55"] for row in vectors["keys"] if row["name"] == key)
    return jobs.address_bytes(text)


def test_digest_equals_the_golden_one(vectors: dict[str, Any], verifier: EthereumVerifier) -> None:
    for row in vectors["job_signature_legacy_HEAD"]["vectors"]:
        assert (
            "0x" + verifier.digest(bytes.fromhex(row["message_hex"])).hex() == row["eip191_digest"]
        )


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("job_signature_legacy_HEAD", jobs.JobRequest.legacy_message),
        ("job_signature_v1_branch", jobs.JobRequest.v1_message),
    ],
)
def test_golden_signatures_are_accepted(
    vectors: dict[str, Any], verifier: EthereumVerifier, section: str, message: Any
) -> None:
    for row in vectors[section]["vectors"]:
        job = jobs.JobRequest(**row["fields"])
        signature = jobs.signature_bytes(row["signature"])
        signer = address(vectors, row["key"])
        assert verifier.accepts(signer, message(job), signature)
        assert not verifier.accepts(signer, message(job) + b" ", signature)


def test_signatures_of_the_wrong_form_are_refused(verifier: EthereumVerifier) -> None:
    assert not verifier.accepts(bytes(20), b"m", b"")
    assert not verifier.accepts(bytes(20), b"m", bytes(64) + b"\x1b")
    assert not verifier.accepts(bytes(20), b"m", b"\x01" * 64 + b"\x00")


def test_throw_away_key_signs_what_is_accepted(verifier: EthereumVerifier) -> None:
    key = ThrowAwayKey()
    signature = jobs.signature_bytes(key.sign(b"message"))
    assert len(key.sign(b"message")) == 132
    assert verifier.accepts(jobs.address_bytes(key.address), b"message", signature)
    assert key.address != ThrowAwayKey().address


def test_off_chain_nothing_is_signed_and_everything_accepted() -> None:
    assert NoKey().sign(b"message") == ""
    assert AnySignature().accepts(bytes(20), b"message", b"")


def test_the_ethereum_library_is_loaded_only_to_verify() -> None:
    code = (
        "import sys; from livepeer.runner._local.network import LocalNetwork; LocalNetwork();"
        "print([name for name in sys.modules if name.startswith('eth')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("make", [EthereumVerifier, ThrowAwayKey])
def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    monkeypatch.setitem(sys.modules, "eth_keys", None)
    with pytest.raises(VerifyUnavailable, match=r"pip install 'livepeer-runner\[verify\]'"):
        make()
