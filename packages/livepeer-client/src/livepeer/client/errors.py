"""What can go wrong for a caller.

```
ClientError
├── ConfigError            (ValueError)       an option of the client is wrong
├── MissingExtra           (ImportError)      a feature needs an extra that is not installed
├── InvalidKey             (ValueError)       the private key is none
├── InvalidJob             (ValueError)       the job cannot be sent as it is written
├── NodeUnreachable        (ConnectionError)  no connection to an orchestrator or gateway
├── OrchestratorError                         an orchestrator refused the job or failed at it
│   └── SignatureRefused                      it does not take the signature
├── GatewayError                              a gateway refused the job or failed at it
├── NoOrchestrator         (LookupError)      each orchestrator was tried and failed
├── CapabilityUnavailable  (LookupError)      nobody offers the capability at the moment
├── PaymentRequired                           the capability has a price that was not paid
├── RunnerError                               the runner itself answered with an error
├── InvalidAnswer          (ValueError)       the answer is not what it should be, or too large
├── JobTimeout             (TimeoutError)     no answer within the job's timeout
└── StreamError                               a stream of events or a live stream
    ├── StreamCut          (EOFError)         it ended before its end was announced
    └── StreamLost         (ConnectionError)  a live stream's channels are gone
```

Every error carries the URL that was attempted, without secrets, the HTTP status if there was one,
and by `retryable` whether the same attempt can succeed later.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Sequence


class ClientError(Exception):
    """Root of everything that `livepeer.client` raises on purpose.

    Attributes:
        url: What was attempted, without secrets; empty when nothing was.
        status: The HTTP status of the answer, if there was one.
        retryable: Whether the same attempt can succeed later.
    """

    retryable = False

    def __init__(
        self,
        message: str,
        *,
        url: str = "",
        status: int | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(f"{message} ({url})" if url else message)
        self.url = url
        self.status = status
        if retryable is not None:
            self.retryable = retryable


class ConfigError(ClientError, ValueError):
    """An option of the client is wrong; the text names it and the mend."""


class MissingExtra(ClientError, ImportError):
    """A feature needs an extra that is not installed; the text names it."""


class InvalidKey(ClientError, ValueError):
    """The private key is none. The text never holds any part of it."""


class InvalidJob(ClientError, ValueError):
    """The job cannot be sent as it is written; the text names the field."""


class NodeUnreachable(ClientError, ConnectionError):
    """There is no connection to the orchestrator or gateway, or it was cut."""

    retryable = True


class OrchestratorError(ClientError):
    """An orchestrator refused the job or failed at it."""


class SignatureRefused(OrchestratorError):
    """The orchestrator does not take the signature; perhaps it wants the other scheme."""


class GatewayError(ClientError):
    """A gateway refused the job or failed at it."""


class NoOrchestrator(ClientError, LookupError):
    """Each orchestrator was tried and failed.

    Attributes:
        causes: What each of them answered, in the order of the attempts. Empty for a gateway,
            which does not tell.
    """

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        url: str = "",
        status: int | None = None,
        causes: Sequence[ClientError] = (),
    ) -> None:
        super().__init__(message, url=url, status=status)
        self.causes = tuple(causes)


class CapabilityUnavailable(ClientError, LookupError):
    """Nobody offers the capability at the moment: unknown, or every slot is taken."""

    retryable = True


class PaymentRequired(ClientError):
    """The capability has a price that was not paid.

    Attributes:
        price_per_s: The price in wei per second, where it is known.
    """

    def __init__(
        self,
        message: str,
        *,
        url: str = "",
        status: int | None = None,
        price_per_s: int | None = None,
    ) -> None:
        super().__init__(message, url=url, status=status)
        self.price_per_s = price_per_s


class RunnerError(ClientError):
    """The runner itself answered with an error.

    Attributes:
        detail: What the runner says: the `detail` of a JSON body, else the body. A list of
            mappings with `loc` and `msg` when the payload was not valid.
    """

    def __init__(
        self,
        detail: object,
        *,
        url: str = "",
        status: int | None = None,
        retryable: bool | None = None,
    ) -> None:
        code = f" with {status}" if status is not None else ""
        super().__init__(
            f"the runner failed{code}: {_said(detail)}", url=url, status=status, retryable=retryable
        )
        self.detail = detail


def _said(detail: object) -> str:
    """The detail for a person: of a payload that was not valid, each field and its fault."""
    if isinstance(detail, str):
        return detail
    if isinstance(detail, list):
        faults = [_fault(item) for item in cast("list[object]", detail)]
        if faults and None not in faults:
            return "; ".join(map(str, faults))
    # As the runner wrote it, not as Python would.
    return json.dumps(detail, default=str)


def _fault(item: object) -> str | None:
    """`field: message` of one of FastAPI's validation errors; None for anything else."""
    if not isinstance(item, dict):
        return None
    fault = cast("dict[str, object]", item)
    place, message = fault.get("loc"), fault.get("msg")
    if not isinstance(place, list) or not isinstance(message, str):
        return None
    # The first part says where the field is, and all of ours are in the body.
    names = [str(part) for part in cast("list[object]", place) if part != "body"]
    return f"{'.'.join(names)}: {message}" if names else message


class InvalidAnswer(ClientError, ValueError):
    """The answer is not what it should be, or larger than the limit."""


class JobTimeout(ClientError, TimeoutError):
    """There was no answer within the job's timeout."""

    retryable = True


class StreamError(ClientError):
    """A stream of events or a live stream failed, or cannot do what was asked of it."""


class StreamCut(StreamError, EOFError):
    """A stream of events ended before its end was announced."""


class StreamLost(StreamError, ConnectionError):
    """A live stream's channels are gone although nobody stopped it."""
