"""What a refusal means: from status and text to an error. Pure.

The texts are go-livepeer's own (`byoc/job_orchestrator.go`, `stream_orchestrator.go`,
`job_gateway.go`, `stream_gateway.go`). They decide before the status, for one status has many
meanings: too little credit is 400 for a batch job and 402 for a stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from ._wire import load_json
from .errors import (
    CapabilityUnavailable,
    ClientError,
    GatewayError,
    JobTimeout,
    OrchestratorError,
    PaymentRequired,
    RunnerError,
    SignatureRefused,
    StreamError,
)

if TYPE_CHECKING:
    from ._wire import JSONValue

NodeError: TypeAlias = type[OrchestratorError] | type[GatewayError]

MAX_DETAIL: Final = 2000

_RETRYABLE_STATUSES: Final = frozenset({408, 429, 502, 503, 504})

# Around the reason on stop and update (sic, both), and on a payment.
_WRAPPERS: Final = (
    "Failed to stop stream, request not valid err=",
    "Failed to process payment, request not valid err=",
)

_NOT_PROCESSED: Final = "job not able to be processed, removing capability err="

_UNAVAILABLE: Final = (
    "No capacity available for capability",
    "No orchestrators found for capability",
)
_UNPAID: Final = ("Insufficient balance for request", "Could not parse payment")

_TRANSIENT: Final = (
    _NOT_PROCESSED,
    "Error sending request to worker",
    "Orchestrator worker failure",
    "failed to get token from Orchestrator",
)
_FINAL: Final = (
    "no timeout_seconds set with request",
    "Unable to unmarshal job",
    "Unable to parse job request",
    "Invalid JSON body",
    "invalid JSON request body",
    "invalid model params",
    "Could not get job price",
    "Could not get price err=",
    "Could not get ticket params err=",
    "Error reading request body",
    "Invalid eth address header",
    "Must have eth address",
    "Job capabilities not provided",
    "request not allowed",
    "request body too large",
)


def refusal(status: int, body: bytes, *, url: str, node: NodeError) -> ClientError:
    """The error that a refusal stands for; `node` is whose own failures it may be."""
    text = body.decode(errors="replace").strip()
    for wrapper in _WRAPPERS:
        text = text.removeprefix(wrapper)
    return (
        _of_network(status, text, url)
        or _of_node(status, text, url, node)
        or RunnerError(
            detail_of(text), url=url, status=status, retryable=status in _RETRYABLE_STATUSES
        )
    )


def detail_of(text: str) -> JSONValue:
    """What an error body says: the `detail` of a JSON object, else all of it."""
    try:
        body = load_json(text)
    except ValueError:
        return text.strip()[:MAX_DETAIL]
    return body["detail"] if isinstance(body, dict) and "detail" in body else body


def _of_network(status: int, text: str, url: str) -> ClientError | None:
    if text.startswith(_UNAVAILABLE):
        return CapabilityUnavailable(_first_line(text), url=url, status=status)
    if text.startswith(_UNPAID):
        return PaymentRequired(_first_line(text), url=url, status=status)
    if text.startswith("Could not verify job creds"):
        return SignatureRefused(
            "the orchestrator does not take the signature; if it is of a V1 branch, sign with"
            " scheme='v1'",
            url=url,
            status=status,
        )
    if text.startswith(_NOT_PROCESSED) and text.endswith("context canceled"):
        return JobTimeout("the runner did not answer in time", url=url, status=status)
    if text.startswith("Error adding stream to external capabilities"):
        return StreamError("a stream of this id exists; use a fresh id", url=url, status=status)
    if text.startswith("stream already exists"):
        return StreamError("a stream of this id exists; use a fresh id", url=url, status=status)
    if text == "Stream not found":
        return StreamError("the stream does not exist, or no longer", url=url, status=status)
    return None


def _of_node(status: int, text: str, url: str, node: NodeError) -> ClientError | None:
    if text.startswith(_TRANSIENT):
        return node(_first_line(text), url=url, status=status, retryable=True)
    if text.startswith(_FINAL):
        return node(_first_line(text), url=url, status=status)
    if text == "404 page not found":
        hint = "; its HTTP ingest may be off" if node is GatewayError else ""
        return node(f"there is no such route{hint}", url=url, status=status)
    if status < 400:
        return node(f"an unexpected answer of {status}", url=url, status=status)
    return None


def _first_line(text: str) -> str:
    return text.partition("\n")[0][:MAX_DETAIL]
