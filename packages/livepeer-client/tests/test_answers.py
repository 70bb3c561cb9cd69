"""What refusals mean, on the texts that nodes were seen to send."""

from __future__ import annotations

import pytest

from livepeer.client import (
    CapabilityUnavailable,
    ClientError,
    GatewayError,
    InvalidAnswer,
    JobTimeout,
    OrchestratorError,
    PaymentRequired,
    RunnerError,
    SignatureRefused,
    StreamError,
)
from livepeer.client._answers import NodeError, refusal
from livepeer.client.tokens import parse_token

WRAPPED = "Failed to stop stream, request not valid err="
NOT_PROCESSED = "job not able to be processed, removing capability err="

ROWS: list[tuple[int, str, type[ClientError], bool]] = [
    (503, "No capacity available for capability", CapabilityUnavailable, True),
    (400, "No capacity available for capability", CapabilityUnavailable, True),
    (400, "No orchestrators found for capability zz", CapabilityUnavailable, True),
    (400, "Insufficient balance for request", PaymentRequired, False),
    (402, "Insufficient balance for request", PaymentRequired, False),
    (400, WRAPPED + "Insufficient balance for request", PaymentRequired, False),
    (400, "Could not parse payment", PaymentRequired, False),
    (400, "Could not verify job creds", SignatureRefused, False),
    (400, WRAPPED + "Could not verify job creds", SignatureRefused, False),
    (500, NOT_PROCESSED + "worker auth token failed", OrchestratorError, True),
    (500, NOT_PROCESSED + 'Post "http://r/x": dial tcp: refused', OrchestratorError, True),
    (500, NOT_PROCESSED + 'Post "http://r/x": context canceled', JobTimeout, True),
    (500, "Error sending request to worker", OrchestratorError, True),
    (500, "Orchestrator worker failure", OrchestratorError, True),
    (500, "Error adding stream to external capabilities", StreamError, False),
    (400, "stream already exists: x", StreamError, False),
    (404, "Stream not found", StreamError, False),
    (400, "Invalid JSON body", OrchestratorError, False),
    (404, "404 page not found", OrchestratorError, False),
    (301, "", OrchestratorError, False),
    (422, '{"detail":"bad"}', RunnerError, False),
    (500, '{"detail":"boom"}', RunnerError, False),
    (503, '{"detail":"busy"}', RunnerError, True),
    (429, "slow down", RunnerError, True),
]


@pytest.mark.parametrize(("status", "text", "kind", "retryable"), ROWS)
def test_refusals(status: int, text: str, kind: type[ClientError], retryable: bool) -> None:
    for ending in ("", "\n", "\n\n"):
        error = refusal(status, (text + ending).encode(), url="http://n", node=OrchestratorError)
        assert type(error) is kind
        assert error.retryable is retryable
        assert error.status == status
        assert error.url == "http://n"
        assert "http://n" in str(error)
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "Unable to parse job request, err=no timeout_seconds set with request",
        "Unable to unmarshal job parameters err=unexpected end of JSON input",
        "invalid JSON request body: EOF",
        "invalid model params",
        "404 page not found",
    ],
)
def test_a_gateways_own_failures_are_its_own(text: str) -> None:
    node: NodeError = GatewayError
    assert type(refusal(400, text.encode(), url="", node=node)) is GatewayError


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"detail":"bad"}\n\n', "bad"),
        (b'{"detail":[{"msg":"x"}]}', [{"msg": "x"}]),
        (b'{"error":"other"}', {"error": "other"}),
        (b"plain words\n", "plain words"),
        (b"", ""),
        (b"\xff", "\ufffd"),
    ],
)
def test_details_of_a_runners_error(body: bytes, detail: object) -> None:
    error = refusal(422, body, url="", node=OrchestratorError)
    assert isinstance(error, RunnerError)
    assert error.detail == detail


def test_tokens(vectors: dict[str, list[dict[str, str]]]) -> None:
    by_case = {row["case"]: row["body"] for row in vectors["job_token_json"]}
    free = parse_token(by_case["free, available"].encode(), "http://n")
    assert (free.price_per_s, free.available_capacity, free.balance) == (0, 50, 0)
    assert free.service_addr == "http://127.0.0.1:28935"
    assert free.ticket_params is not None
    paid = parse_token(by_case["paid 10 wei/s, balance 0"].encode(), "http://n")
    assert paid.price_per_s == 10
    unknown = next(body for case, body in by_case.items() if case.startswith("unknown"))
    assert parse_token(unknown.encode(), "http://n").available_capacity == 0


@pytest.mark.parametrize("body", [b"", b"[]", b'{"balance":"1"}', b'{"balance":true}', b"{"])
def test_a_token_that_is_none(body: bytes) -> None:
    with pytest.raises(InvalidAnswer, match="http://n"):
        parse_token(body, "http://n")
