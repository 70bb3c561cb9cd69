"""Parsing of job headers, credentials and Go's JSON: pure rules against the golden vectors."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from livepeer.runner._local import gojson, jobs


def encoded(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def test_every_golden_header_parses_to_its_fields(vectors: dict[str, Any]) -> None:
    for row in vectors["job_signature_legacy_HEAD"]["vectors"]:
        job = jobs.parse_job(row["livepeer_header_value"])
        for key, value in row["fields"].items():
            assert getattr(job, key) == value
        assert job.sig == row["signature"]


def test_legacy_message_equals_the_golden_bytes(vectors: dict[str, Any]) -> None:
    for row in vectors["job_signature_legacy_HEAD"]["vectors"]:
        assert jobs.JobRequest(**row["fields"]).legacy_message().hex() == row["message_hex"]


def test_v1_message_equals_the_golden_bytes(vectors: dict[str, Any]) -> None:
    for row in vectors["job_signature_v1_branch"]["vectors"]:
        assert jobs.JobRequest(**row["fields"]).v1_message().hex() == row["payload_hex"]


@pytest.mark.parametrize("timeout", [-1, 2**32])
def test_v1_refuses_a_timeout_that_does_not_fit(timeout: int) -> None:
    with pytest.raises(jobs.BadJob, match="exceeds maximum"):
        jobs.JobRequest(timeout_seconds=timeout).v1_message()


def test_a_job_survives_its_own_header() -> None:
    job = jobs.JobRequest("i", '{"é":1}', "", "c", "0x1", "0xab", 7)
    assert jobs.parse_job(job.header()) == job


def test_keys_match_in_any_letter_case_and_unknown_ones_are_ignored() -> None:
    job = jobs.parse_job(encoded({"Request": "{}", "TIMEOUT_Seconds": 3, "x": [1]}))
    assert (job.request, job.timeout_seconds) == ("{}", 3)


def test_null_leaves_a_field_as_it_is() -> None:
    assert jobs.parse_job(encoded({"id": None, "timeout_seconds": -1})).id == ""


@pytest.mark.parametrize("timeout", [0, None])
def test_no_timeout_is_told_apart(timeout: object) -> None:
    with pytest.raises(jobs.NoTimeout, match="timeout_seconds is required"):
        jobs.parse_job(encoded({"timeout_seconds": timeout}))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "unexpected end of JSON input"),
        ("****", "ErrorSegEncoding"),
        ("e30", "ErrorSegEncoding"),
        ("Pj4-Pz8_", "ErrorSegEncoding"),
        (
            encoded({"timeout_seconds": 1.5}),
            "json: cannot unmarshal number 1.5 into Go struct field "
            "JobRequest.timeout_seconds of type int",
        ),
        (
            encoded({"timeout_seconds": True}),
            "json: cannot unmarshal bool into Go struct field "
            "JobRequest.timeout_seconds of type int",
        ),
        (
            encoded({"request": {}, "timeout_seconds": 1}),
            "json: cannot unmarshal object into Go struct field JobRequest.request of type string",
        ),
        (encoded([1]), "json: cannot unmarshal array into Go value of type byoc.JobRequest"),
    ],
)
def test_bad_headers_say_why_in_go_livepeers_words(header: str, reason: str) -> None:
    with pytest.raises(jobs.BadJob) as caught:
        jobs.parse_job(header)
    assert str(caught.value) == reason


def test_the_signature_is_not_shown() -> None:
    job = jobs.JobRequest(sig="0xsecret")
    assert "secret" not in repr(job)
    assert "secret" not in repr(jobs.Credentials(sig="0xsecret"))


def test_credentials_of_the_golden_vectors_parse(vectors: dict[str, Any]) -> None:
    for row in vectors["token_creds"][:2]:
        credentials = jobs.parse_credentials(row["header_value"])
        assert (credentials.addr, credentials.sig) == (row["signed_string"], row["signature"])
        assert credentials.header() == row["header_value"]


def test_stream_id_is_read_from_the_request() -> None:
    assert jobs.stream_id('{"stream_id":"s","more":1}') == "s"
    assert jobs.stream_id("null") == ""
    with pytest.raises(gojson.GoJSONError, match="of type string"):
        jobs.stream_id('{"stream_id":5}')


def test_parameters_are_read_and_their_types_checked() -> None:
    text = '{"enable_video_egress":true,"orchestrators":{"include":["a"],"exclude":["b"]},"x":1}'
    found = jobs.parse_parameters(text)
    assert found == jobs.JobParameters(("a",), ("b",), video_egress=True)
    with pytest.raises(gojson.GoJSONError, match="enable_data_output of type bool"):
        jobs.parse_parameters('{"enable_data_output":"yes"}')
    with pytest.raises(gojson.GoJSONError, match="unexpected end of JSON input"):
        jobs.parse_parameters("")


@pytest.mark.parametrize(
    ("text", "length"), [("", 0), ("abcd", 2), ("0x" + "00" * 65, 65), ("00" * 65, 65)]
)
def test_signatures_that_decode(text: str, length: int) -> None:
    assert len(jobs.signature_bytes(text)) == length


@pytest.mark.parametrize("text", ["0x", "0xabcd", "abc", "zz"])
def test_signatures_that_do_not(text: str) -> None:
    with pytest.raises(jobs.BadJob):
        jobs.signature_bytes(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0x" + "Ab" * 20, "ab" * 20),
        ("ab" * 20, "ab" * 20),
        ("0x1", "00" * 19 + "01"),
        ("", "00" * 20),
        ("0x" + "ff" * 21, "ff" * 20),
        ("0x12zz", "00" * 19 + "12"),
    ],
)
def test_addresses_never_fail(text: str, address: str) -> None:
    assert jobs.address_bytes(text).hex() == address


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ('{"a":"b', "unexpected end of JSON input"),
        ("xyz", "invalid character 'x' looking for beginning of value"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":1 2}', "invalid character '2' after object key:value pair"),
        ("{a}", "invalid character 'a' looking for beginning of object key string"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("NaN", "invalid character 'N' looking for beginning of value"),
        ("[" * 100_000, "exceeded max depth"),
        ("1e999", "json: cannot unmarshal number 1e999 into Go value of type float64"),
        ("9" * 5000, f"json: cannot unmarshal number {'9' * 37}... into Go value of type float64"),
    ],
)
def test_syntax_errors_are_gos(text: str, reason: str) -> None:
    with pytest.raises(gojson.GoJSONError) as caught:
        gojson.loads(text)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("12345678901234567890", "12345678901234567000"),
        ("1.0", "1"),
        ("1e3", "1000"),
        ("0.5", "0.5"),
        ("-3", "-3"),
        ("1e21", "1e+21"),
        ('"<a>&"', '"\\u003ca\\u003e\\u0026"'),
        ('{"b":1,"a":[true,null]}', '{"a":[true,null],"b":1}'),
        ('"\\ud800"', '"\ufffd"'),
        ('"é"', '"é"'),
    ],
)
def test_documents_are_written_as_go_writes_them(text: str, written: str) -> None:
    assert gojson.dumps(gojson.loads(text)).decode() == written


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.text() | json_values.map(json.dumps))
def test_any_text_parses_or_is_refused_and_what_parses_can_be_written(text: str) -> None:
    try:
        value = gojson.loads(text)
    except gojson.GoJSONError:
        return
    written = gojson.dumps(value)
    assert gojson.dumps(gojson.loads(written)) == written
