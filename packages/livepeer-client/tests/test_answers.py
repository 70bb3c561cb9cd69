"""What refusals mean, on the texts that nodes were seen to send."""

from __future__ import annotations

import json

import pytest

from livepeer.client import (
    CapabilityUnavailable,
    ClientError,
    GatewayError,
    InvalidAnswer,
    JobTimeout,
    OrchestratorError,
    PaymentRequiredError,
    RunnerError,
    SignatureRefused,
    StreamError,
)
from livepeer.client._answers.refusals import Move, NodeError, credit, read_refusal, refusal
from livepeer.client._wire.tokens import parse_token

WRAPPED = "Failed to stop stream, request not valid err="
PAYMENT = "Failed to process payment, request not valid err="
NOT_PROCESSED = "job not able to be processed, removing capability err="

ROWS: list[tuple[int, str, type[ClientError], bool, Move]] = [
    (503, "No capacity available for capability", CapabilityUnavailable, True, Move.NEXT),
    (400, "No capacity available for capability", CapabilityUnavailable, True, Move.NEXT),
    (400, "No orchestrators found for capability zz", CapabilityUnavailable, True, Move.NEXT),
    (503, "insufficient capacity", CapabilityUnavailable, True, Move.NEXT),
    (403, "incompatible capabilities", CapabilityUnavailable, True, Move.NEXT),
    (400, "Insufficient balance for request", PaymentRequiredError, False, Move.PAY),
    (402, "Insufficient balance for request", PaymentRequiredError, False, Move.PAY),
    (400, WRAPPED + "Insufficient balance for request", PaymentRequiredError, False, Move.PAY),
    (400, PAYMENT + "Insufficient balance for request", PaymentRequiredError, False, Move.PAY),
    (400, "Insufficient balance", PaymentRequiredError, False, Move.PAY),
    (400, "Could not parse payment", PaymentRequiredError, False, Move.PAY),
    # A runner's own words, which no payment mends.
    (402, "your plan is used up", RunnerError, False, Move.FINAL),
    (400, "Insufficient balance on your savings account", RunnerError, False, Move.FINAL),
    (404, "404 page not found in the book", RunnerError, False, Move.FINAL),
    (402, '{"detail":"my own coins"}', RunnerError, False, Move.FINAL),
    (
        503,
        "Could not get price err=insufficient sender reserve",
        PaymentRequiredError,
        False,
        Move.NEXT,
    ),
    (400, "Could not get ticket params err=x", PaymentRequiredError, False, Move.NEXT),
    (400, "Could not get price err=x", OrchestratorError, False, Move.NEXT),
    (400, "Could not verify job creds", SignatureRefused, False, Move.RESIGN),
    (400, WRAPPED + "Could not verify job creds", SignatureRefused, False, Move.RESIGN),
    (400, "Invalid eth address header ", OrchestratorError, False, Move.NEXT),
    (500, NOT_PROCESSED + "worker auth token failed", OrchestratorError, True, Move.NEXT),
    (500, NOT_PROCESSED + 'Post "http://r/x": dial tcp: no', OrchestratorError, True, Move.NEXT),
    (500, NOT_PROCESSED + 'Post "http://r/x": context canceled', JobTimeout, True, Move.NEXT),
    (500, "Error sending request to worker", OrchestratorError, True, Move.NEXT),
    (500, "Orchestrator worker failure", OrchestratorError, True, Move.NEXT),
    (500, 'parse "1.2.3.4:5": first path segment', OrchestratorError, False, Move.NEXT),
    (500, "Error adding stream to external capabilities", StreamError, False, Move.FINAL),
    (400, "stream already exists: x", StreamError, False, Move.FINAL),
    (404, "Stream not found", StreamError, False, Move.FINAL),
    (400, "Invalid JSON body", OrchestratorError, False, Move.FINAL),
    (404, "404 page not found", OrchestratorError, False, Move.NEXT),
    (301, "", OrchestratorError, False, Move.NEXT),
    (422, '{"detail":"bad"}', RunnerError, False, Move.FINAL),
    (500, '{"detail":"boom"}', RunnerError, False, Move.FINAL),
    (503, '{"detail":"busy"}', RunnerError, True, Move.NEXT),
    (429, "slow down", RunnerError, True, Move.NEXT),
    (502, "<html>Bad Gateway</html>", RunnerError, True, Move.NEXT),
]


@pytest.mark.parametrize(("status", "text", "kind", "retryable", "move"), ROWS)
def test_refusals(
    status: int, text: str, kind: type[ClientError], retryable: bool, move: Move
) -> None:
    for ending in ("", "\n", "\n\n"):
        read = read_refusal(
            status, (text + ending).encode(), url="http://n", node=OrchestratorError
        )
        error = read.error
        assert type(error) is kind
        assert (error.retryable, read.move) == (retryable, move)
        assert error.elsewhere is (move is not Move.FINAL)
        assert error.status == status
        assert error.url == "http://n"
        assert "http://n" in str(error)
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "Insufficient balance for request",
        "Could not verify job creds",
        "404 page not found",
        "missing auth token of the model hub",
        "Stream not found: the camera is off",
    ],
)
def test_what_comes_with_a_balance_is_the_runners(text: str) -> None:
    for balance in ("Livepeer-Balance", "Livepeer-Payment-Balance"):
        read = read_refusal(
            400, text.encode(), url="", node=OrchestratorError, headers={balance: "590"}
        )
        assert type(read.error) is RunnerError
        assert (read.error.detail, read.move) == (text, Move.FINAL)
    # But for what an orchestrator says of a runner.
    for said, kind in (
        (NOT_PROCESSED + "worker auth token failed", OrchestratorError),
        ("Error adding stream to external capabilities", StreamError),
    ):
        read = read_refusal(
            500, said.encode(), url="", node=OrchestratorError, headers={"Livepeer-Balance": "0"}
        )
        assert type(read.error) is kind


def test_where_no_runner_has_a_say_a_failure_is_the_nodes() -> None:
    for status, retryable in ((500, True), (503, True), (400, False)):
        read = read_refusal(status, b"unheard of", url="", node=OrchestratorError, runner=False)
        assert type(read.error) is OrchestratorError
        assert (read.error.retryable, read.move) == (retryable, Move.NEXT)


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
    assert str(error).startswith("the runner refused with 422: ")
    assert str(refusal(500, body, url="", node=OrchestratorError)).startswith(
        "the runner failed with 500: "
    )


@pytest.mark.parametrize(
    ("body", "metadata", "seconds"),
    [
        ({"detail": "busy", "retry_after": 3}, "", 3.0),
        ({"detail": "busy"}, '{"request_id":"r","retry_after":2}', 2.0),
        ({"detail": "busy", "retry_after": True}, "", None),
        ({"detail": "busy", "retry_after": -1}, "not json", None),
        ({"detail": "busy", "retry_after": 10**400}, "", None),
        ({"detail": "busy"}, "[]", None),
    ],
)
def test_when_to_try_again(body: object, metadata: str, seconds: float | None) -> None:
    read = read_refusal(
        503,
        json.dumps(body).encode(),
        url="",
        node=OrchestratorError,
        headers={"X-Metadata": metadata, "Livepeer-Balance": "-12"},
    )
    assert isinstance(read.error, RunnerError)
    assert read.error.retry_after == seconds
    assert read.balance == -12


def test_credit_has_two_names_and_may_be_missing() -> None:
    assert credit({"Livepeer-Balance": "590"}) == 590
    assert credit({"Livepeer-Payment-Balance": "-3"}) == -3
    assert credit({"Livepeer-Balance": ""}) is None
    assert credit({"Livepeer-Balance": "much"}) is None
    assert credit({}) is None


def test_tokens(vectors: dict[str, list[dict[str, str]]]) -> None:
    by_case = {row["case"]: row["body"] for row in vectors["job_token_json"]}
    free = parse_token(by_case["free, available"].encode(), "http://n")
    assert (free.price_per_s, free.available_capacity, free.balance) == (0, 50, 0)
    assert free.price == (0, 1)
    assert free.service_addr == "http://127.0.0.1:28935"
    assert free.ticket_params is not None
    paid = parse_token(by_case["paid 10 wei/s, balance 0"].encode(), "http://n")
    assert paid.price_per_s == 10
    assert paid.price == (10, 1)
    unknown = next(body for case, body in by_case.items() if case.startswith("unknown"))
    assert parse_token(unknown.encode(), "http://n").available_capacity == 0


def test_an_address_that_no_payment_could_carry_is_none() -> None:
    assert parse_token(b'{"service_addr":"\\ud800"}', "http://n").service_addr == ""


def test_a_price_for_several_units_is_rounded_up() -> None:
    token = parse_token(b'{"price":{"pricePerUnit":10,"pixelsPerUnit":3}}', "http://n")
    assert (token.price_per_s, token.price) == (4, (10, 3))


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"balance":"1"}', b'{"balance":true}', b"{", b'{"price":{"pricePerUnit":-1}}'],
)
def test_a_token_that_is_none(body: bytes) -> None:
    with pytest.raises(InvalidAnswer, match="http://n"):
        parse_token(body, "http://n")
