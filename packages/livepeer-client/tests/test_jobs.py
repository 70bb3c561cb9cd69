"""Jobs: what callers may ask, and the strings that travel."""

from __future__ import annotations

import base64
import json
from dataclasses import FrozenInstanceError

import pytest

from livepeer.client import BYOCJobRequest, InvalidJob, Job
from livepeer.client._wire.jobs import new_job_id, stream_control_job


def decoded(header: str) -> dict[str, object]:
    value: dict[str, object] = json.loads(base64.b64decode(header, validate=True))
    return value


def test_a_batch_job_without_options_names_empty_objects() -> None:
    # An empty `parameters` is refused by the gateway.
    job = BYOCJobRequest(capability="text-reversal", timeout_s=30, id="j1").job()
    assert job == Job(id="j1", capability="text-reversal", timeout_s=30)
    assert decoded(job.header()) == {
        "id": "j1",
        "request": "{}",
        "parameters": "{}",
        "capability": "text-reversal",
        "timeout_seconds": 30,
    }


def test_a_stream_job_names_its_id_and_the_channels_that_are_on() -> None:
    request = BYOCJobRequest(
        capability="live",
        id="s1",
        request={"note": 1},
        parameters={"orchestrators": {"exclude": ["http://x"]}},
        enable_video_ingress=True,
        enable_data_output=True,
    )
    job = request.stream_job()
    assert json.loads(job.request) == {"note": 1, "stream_id": "s1"}
    assert json.loads(job.parameters) == {
        "orchestrators": {"exclude": ["http://x"]},
        "enable_video_ingress": True,
        "enable_data_output": True,
    }
    assert json.loads(request.job().request) == {"note": 1}


def test_a_control_job_names_capability_and_stream() -> None:
    header = decoded(stream_control_job("live", "s1", 10).header())
    assert header["capability"] == "live"
    assert header["request"] == '{"stream_id":"s1"}'
    assert header["parameters"] == "{}"
    assert header["timeout_seconds"] == 10


def test_strings_are_ascii_whatever_they_say() -> None:
    job = BYOCJobRequest(capability="x", request={"text": "héllo 漢字 😀 \ud800"}).job()
    assert job.request.isascii()
    assert json.loads(job.request)["text"] == "héllo 漢字 😀 \ud800"


@pytest.mark.parametrize("timeout_s", [0, -1, 1.5, 30.0, True, "30", None, 2**32])
def test_a_timeout_is_whole_seconds(timeout_s: object) -> None:
    with pytest.raises(InvalidJob, match="timeout_s"):
        BYOCJobRequest(capability="x", timeout_s=timeout_s)  # type: ignore[arg-type]  # under test


@pytest.mark.parametrize("job_id", ["", "a b", "a/b", "ü", "x" * 129, "x-out", "x-control"])
def test_an_id_is_safe_in_channel_names(job_id: str) -> None:
    with pytest.raises(InvalidJob, match="id"):
        BYOCJobRequest(capability="x", id=job_id)


@pytest.mark.parametrize("capability", ["", "a\nb", " a", "a\r\nLivepeer: x"])
def test_a_capability_fits_a_header(capability: str) -> None:
    with pytest.raises(InvalidJob, match="capability"):
        BYOCJobRequest(capability=capability)


@pytest.mark.parametrize("value", [float("nan"), b"bytes", {1, 2}, object()])
def test_what_is_no_json_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidJob, match="`parameters`"):
        BYOCJobRequest(capability="x", parameters={"v": value}).job()


def test_requests_are_frozen_and_ids_fresh() -> None:
    request = BYOCJobRequest(capability="x")
    with pytest.raises(FrozenInstanceError):
        request.capability = "y"  # type: ignore[misc]  # the mistake under test
    assert len({new_job_id() for _ in range(100)}) == 100
    assert request.id != BYOCJobRequest(capability="x").id
