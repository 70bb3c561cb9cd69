"""Two writings of one contract: what the client signs is what the local network takes.

Each side is held to the golden vectors by the tests of its own package; here they meet.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings, strategies as st

from livepeer.client import BYOCJobRequest, Job, LocalSigner
from livepeer.runner._local import jobs
from livepeer.runner._local.keys import EthereumVerifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer.client._sign.signing import Scheme

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "byoc.json").read_text())
KEYS = {key["name"]: key for key in VECTORS["keys"]}
SCHEMES: list[tuple[Scheme, str, Callable[[jobs.JobRequest], bytes]]] = [
    ("legacy", "job_signature_legacy_HEAD", jobs.JobRequest.legacy_message),
    ("v1", "job_signature_v1_branch", jobs.JobRequest.v1_message),
]

json_objects = st.dictionaries(
    st.text(max_size=8),
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=16),
    max_size=4,
)
names = st.text(string.ascii_letters + string.digits + " -_.äß雪", min_size=1, max_size=20).filter(
    lambda name: name == name.strip()
)


@pytest.fixture(scope="module")
def verifier() -> EthereumVerifier:
    return EthereumVerifier()


def taken(
    verifier: EthereumVerifier, job: jobs.JobRequest, message: Callable[[jobs.JobRequest], bytes]
) -> bool:
    signature = jobs.signature_bytes(job.sig)
    return verifier.accepts(jobs.address_bytes(job.sender), message(job), signature)


@pytest.mark.parametrize(("scheme", "section", "message"), SCHEMES, ids=["legacy", "v1"])
async def test_golden_jobs_make_the_whole_way(
    verifier: EthereumVerifier,
    scheme: Scheme,
    section: str,
    message: Callable[[jobs.JobRequest], bytes],
) -> None:
    rows = VECTORS[section]["vectors"]
    assert len(rows) > 2
    for row in rows:
        fields = row["fields"]
        job = Job(
            id=fields.get("id", ""),
            request=fields["request"],
            parameters=fields["parameters"],
            capability=fields.get("capability", "c"),
            timeout_s=fields.get("timeout_seconds", 30),
        )
        signer = LocalSigner.from_key(KEYS[row["key"]]["private_key"], scheme=scheme)
        signed = await signer.sign_job(job)
        assert signed.signature == row["signature"]
        read = jobs.parse_job(signed.header())
        assert (read.id, read.request, read.parameters) == (job.id, job.request, job.parameters)
        assert (read.capability, read.timeout_seconds) == (job.capability, job.timeout_s)
        assert message(read).hex() == row.get("message_hex", row.get("payload_hex"))
        assert taken(verifier, read, message)
        for change in ("request", "parameters"):
            altered = dataclasses.replace(read, **{change: getattr(read, change) + " "})
            assert not taken(verifier, altered, message)


async def test_token_credentials_make_the_whole_way(verifier: EthereumVerifier) -> None:
    for key in KEYS.values():
        signer = LocalSigner.from_key(key["private_key"])
        credentials = jobs.parse_credentials((await signer.token_credentials()).header())
        assert credentials.addr == key["address_eip55"]
        address = jobs.address_bytes(credentials.addr)
        signature = jobs.signature_bytes(credentials.sig)
        assert verifier.accepts(address, credentials.addr.encode(), signature)
        assert not verifier.accepts(address, credentials.addr.lower().encode(), signature)


@pytest.mark.parametrize(("scheme", "_section", "message"), SCHEMES, ids=["legacy", "v1"])
@settings(max_examples=25, deadline=None)
@given(
    request=json_objects,
    parameters=json_objects,
    capability=names,
    timeout_s=st.integers(1, 2**32 - 1),
)
async def test_any_job_makes_the_whole_way(
    verifier: EthereumVerifier,
    scheme: Scheme,
    _section: str,
    message: Callable[[jobs.JobRequest], bytes],
    request: dict[str, object],
    parameters: dict[str, object],
    capability: str,
    timeout_s: int,
) -> None:
    wanted = BYOCJobRequest(
        capability=capability,
        request=request,
        parameters=parameters,
        timeout_s=timeout_s,
        enable_video_ingress=True,
        enable_data_output=True,
    )
    signed = await LocalSigner.ephemeral(scheme=scheme).sign_job(wanted.stream_job())
    read = jobs.parse_job(signed.header())
    assert (read.capability, read.timeout_seconds, read.id) == (capability, timeout_s, wanted.id)
    assert json.loads(read.request) == {**request, "stream_id": wanted.id}
    assert jobs.stream_id(read.request) == wanted.id
    flags = jobs.parse_parameters(read.parameters)
    assert (flags.video_ingress, flags.video_egress, flags.data_output) == (True, False, True)
    assert taken(verifier, read, message)


def test_the_header_is_standard_base64_of_one_object() -> None:
    job = BYOCJobRequest(capability="c", request={"text": "雪?>~"}).job()
    document = json.loads(base64.b64decode(job.header(), validate=True))
    assert document["request"] == job.request
    assert document["timeout_seconds"] == job.timeout_s
