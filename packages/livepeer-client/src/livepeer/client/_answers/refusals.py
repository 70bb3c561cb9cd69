"""What a refusal means: from status and text to an error and the next move. Pure.

The texts are go-livepeer's own (`byoc/job_orchestrator.go`, `stream_orchestrator.go`,
`job_gateway.go`, `stream_gateway.go`, `server/ai_http.go`, `server/segment_rpc.go`). They decide
before the status, for one status has many meanings: too little credit is 400 for a batch job and
402 for a stream, and an unknown capability 503 for the one and 400 for the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeAlias

from livepeer.client._wire.encoding import BALANCE, EVENTS_BALANCE, METADATA, load_json
from livepeer.client.errors import (
    CapabilityUnavailable,
    ClientError,
    GatewayError,
    JobTimeout,
    OrchestratorError,
    PaymentRequiredError,
    RunnerError,
    SignatureRefused,
    StreamError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from livepeer.client._wire.encoding import JSONValue

NodeError: TypeAlias = type[OrchestratorError] | type[GatewayError]

MAX_DETAIL: Final = 2000
MAX_RETRY_AFTER_S: Final = 86_400.0
"""A runner that asks for a longer pause asks for nothing."""

NO_GATEWAY: Final = "an orchestrator's URL goes to `orchestrators=` (in a shell: --orchestrator)"

_WRONG_KIND: Final = {
    "/ai/stream/start": "it takes calls, not streams: use `call`",
    "/process/request/predict": "a live pipeline takes streams, not calls: use `start_stream` (in a"
    " shell: livepeer stream)",
}
"""What a runner that has no such route is told to be, by the path that was asked."""


class Move(Enum):
    """What to do about a refusal."""

    PAY = auto()
    """Pay by fresh terms and send the same once more."""
    RESIGN = auto()
    """Sign by the other scheme and send the same once more."""
    NEXT = auto()
    """Ask another orchestrator."""
    FINAL = auto()
    """Tell the caller: it would be the same everywhere."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An answer that is no success.

    Attributes:
        error: What the caller is told, if no move mends it.
        move: What to do about it.
        balance: The sender's credit in wei, where the answer tells it.
    """

    error: ClientError
    move: Move
    balance: int | None = None


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What a node said, for the rows of the table.

    Attributes:
        text: The body, trimmed and without a wrapper.
        node: The kind of the node's own errors.
    """

    status: int
    text: str
    url: str
    node: NodeError

    @property
    def line(self) -> str:
        return self.text.partition("\n")[0][:MAX_DETAIL]


_Make: TypeAlias = "Callable[[_Said], ClientError]"


def _unavailable(said: _Said) -> ClientError:
    return CapabilityUnavailable(said.line, url=said.url, status=said.status)


def _unpaid(said: _Said) -> ClientError:
    return PaymentRequiredError(said.line, url=said.url, status=said.status)


def _poor(said: _Said) -> ClientError:
    return PaymentRequiredError(
        f"the orchestrator does not trust the signer's account to pay: {said.line}; it needs a"
        " deposit and a reserve that are large enough",
        url=said.url,
        status=said.status,
    )


def _unsigned(said: _Said) -> ClientError:
    hint = "if the signer has one scheme only, try the other (`scheme`)"
    if said.node is GatewayError:
        # A gateway signs by itself.
        hint = f"if it was asked as a gateway: {NO_GATEWAY}"
    return SignatureRefused(
        f"the orchestrator does not take the signature; {hint}", url=said.url, status=said.status
    )


def _late(said: _Said) -> ClientError:
    return JobTimeout("the runner did not answer in time", url=said.url, status=said.status)


def _double(said: _Said) -> ClientError:
    return StreamError(
        "a stream of this id exists; use a fresh id", url=said.url, status=said.status
    )


def _gone(said: _Said) -> ClientError:
    return StreamError("the stream does not exist, or no longer", url=said.url, status=said.status)


def _transient(said: _Said) -> ClientError:
    return said.node(said.line, url=said.url, status=said.status, retryable=True)


def _own(said: _Said) -> ClientError:
    return said.node(said.line, url=said.url, status=said.status)


def _no_route(said: _Said) -> ClientError:
    gateway = f"; its HTTP ingest may be off, or it is no gateway: {NO_GATEWAY}"
    hint = gateway if said.node is GatewayError else ""
    return said.node(f"there is no such route{hint}", url=said.url, status=said.status)


# Around the reason on stop and update (sic, both), and on a payment.
_WRAPPERS: Final = (
    "Failed to stop stream, request not valid err=",
    "Failed to process payment, request not valid err=",
)

_NOT_PROCESSED: Final = "job not able to be processed, removing capability err="

# How a text begins, the error that it stands for, and the move. The first row that fits counts.
_TABLE: Final[tuple[tuple[str, _Make, Move], ...]] = (
    # Nobody is there to do it.
    ("No capacity available for capability", _unavailable, Move.NEXT),
    ("No orchestrators found for capability", _unavailable, Move.NEXT),
    ("insufficient capacity", _unavailable, Move.NEXT),
    ("OrchestratorCapped", _unavailable, Move.NEXT),
    ("incompatible capabilities", _unavailable, Move.NEXT),
    # Money.
    ("Could not parse payment", _unpaid, Move.PAY),
    ("Could not get price err=insufficient sender reserve", _poor, Move.NEXT),
    ("insufficient sender reserve", _poor, Move.NEXT),
    ("Could not get ticket params err=", _poor, Move.NEXT),
    # Signatures.
    ("Could not verify job creds", _unsigned, Move.RESIGN),
    ("Invalid eth address header", _own, Move.NEXT),
    # The node's own trouble.
    ("Error sending request to worker", _transient, Move.NEXT),
    ("Orchestrator worker failure", _transient, Move.NEXT),
    ("failed to get token from Orchestrator", _transient, Move.NEXT),
    ("Could not get job price", _own, Move.NEXT),
    ("Could not get price err=", _own, Move.NEXT),
    ("Error reading request body", _own, Move.NEXT),
    ("request not allowed", _own, Move.NEXT),
    ('parse "', _own, Move.NEXT),
    ("ErrSegSig", _own, Move.NEXT),
    ("ErrorSegEncoding", _own, Move.NEXT),
    ("missing auth token", _own, Move.NEXT),
    ("invalid auth token", _own, Move.NEXT),
    ("expired auth token", _own, Move.NEXT),
    # What was sent is wrong, and would be elsewhere.
    ("no timeout_seconds set with request", _own, Move.FINAL),
    ("Unable to unmarshal job", _own, Move.FINAL),
    ("Unable to parse job request", _own, Move.FINAL),
    ("Invalid JSON body", _own, Move.FINAL),
    ("invalid JSON request body", _own, Move.FINAL),
    ("invalid model params", _own, Move.FINAL),
    ("Must have eth address", _own, Move.FINAL),
    ("Job capabilities not provided", _own, Move.FINAL),
    ("request body too large", _own, Move.FINAL),
    ("Error adding stream to external capabilities", _double, Move.FINAL),
    ("stream already exists", _double, Move.FINAL),
    ("Stream not found", _gone, Move.FINAL),
)

# The whole text: a runner's own may well begin so.
_EXACT: Final[dict[str, tuple[_Make, Move]]] = {
    "Insufficient balance for request": (_unpaid, Move.PAY),
    # Of live video.
    "Insufficient balance": (_unpaid, Move.PAY),
    "404 page not found": (_no_route, Move.NEXT),
}

# What an orchestrator itself says after it admitted a job.
_ADMITTED: Final = (_NOT_PROCESSED, "Error adding stream to external capabilities")

# A runner that answers so has no room, or is not there behind its proxy; another one may.
_ELSEWHERE: Final = frozenset({429, 502, 503, 504})
_RETRYABLE: Final = _ELSEWHERE | {408}


def refusal(status: int, body: bytes, *, url: str, node: NodeError) -> ClientError:
    """The error that an answer stands for, where no move is made."""
    return read_refusal(status, body, url=url, node=node).error


def read_refusal(
    status: int,
    body: bytes,
    *,
    url: str,
    node: NodeError,
    headers: Mapping[str, str] | None = None,
    runner: bool = True,
) -> Refusal:
    """What an answer that is no success stands for.

    Args:
        status: Its status.
        body: Its body, or the beginning of it.
        url: What was asked, without secrets.
        node: Whose own failures it may be.
        headers: Its headers. With a balance they are those of a job that was admitted, and all
            but a few words of the node's are the runner's then. Its `X-Metadata` is read as well.
        runner: Whether a runner may have answered. Else what is not known is the node's own.
    """
    text = body.decode(errors="replace").strip()
    for wrapper in _WRAPPERS:
        text = text.removeprefix(wrapper)
    said = _Said(status=status, text=text, url=url, node=node)
    balance = credit(headers or {})
    found = _row(said, admitted=balance is not None)
    if found is None and not runner:
        found = _transient if status >= 500 else _own, Move.NEXT
    make, move = found or (_runners(headers or {}), _runners_move(status))
    error = make(said)
    error.elsewhere = move is not Move.FINAL
    return Refusal(error=error, move=move, balance=balance)


def credit(headers: Mapping[str, str]) -> int | None:
    """The sender's balance in wei, where an answer tells it."""
    try:
        return int(headers.get(BALANCE) or headers.get(EVENTS_BALANCE) or "")
    except ValueError:
        return None


def detail_of(text: str) -> JSONValue:
    """What an error body says: the `detail` of a JSON object, else all of it."""
    try:
        body = load_json(text)
    except ValueError:
        return text.strip()[:MAX_DETAIL]
    return body["detail"] if isinstance(body, dict) and "detail" in body else body


def _row(said: _Said, *, admitted: bool) -> tuple[_Make, Move] | None:
    text = said.text
    if admitted and said.status >= 400 and not text.startswith(_ADMITTED):
        return None
    if text.startswith(_NOT_PROCESSED):
        return _late if text.endswith("context canceled") else _transient, Move.NEXT
    if (exact := _EXACT.get(text)) is not None:
        return exact
    for beginning, make, move in _TABLE:
        if text.startswith(beginning):
            return make, move
    return (_odd, Move.NEXT) if said.status < 400 else None


def _odd(said: _Said) -> ClientError:
    return said.node(f"an unexpected answer of {said.status}", url=said.url, status=said.status)


def _runners_move(status: int) -> Move:
    return Move.NEXT if status in _ELSEWHERE else Move.FINAL


def _runners(headers: Mapping[str, str]) -> _Make:
    def make(said: _Said) -> ClientError:
        detail = detail_of(said.text)
        return RunnerError(
            detail,
            hint=_wrong_kind(said) if detail == "Not Found" else "",
            url=said.url,
            status=said.status,
            retryable=said.status in _RETRYABLE,
            retry_after=_retry_after(said.text) or _retry_after(headers.get(METADATA, "")),
        )

    return make


def _wrong_kind(said: _Said) -> str:
    if said.status != 404:
        return ""
    return next((hint for path, hint in _WRONG_KIND.items() if said.url.endswith(path)), "")


def _retry_after(text: str) -> float | None:
    """The `retry_after` of a JSON object, in seconds: of our runners' bodies and metadata."""
    try:
        fields = load_json(text)
    except ValueError:
        return None
    seconds = fields.get("retry_after") if isinstance(fields, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    # A number that no float holds is no time to wait; nor is one that is none.
    return float(seconds) if 0 <= seconds <= MAX_RETRY_AFTER_S else None
