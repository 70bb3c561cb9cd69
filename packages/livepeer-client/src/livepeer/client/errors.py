"""What can go wrong for a caller.

```
ClientError
├── ConfigError            (ValueError)       an option of the client is wrong
├── MissingExtra           (ImportError)      a feature needs an extra that is not installed
├── InvalidKey             (ValueError)       the private key is none
├── InvalidJob             (ValueError)       the job cannot be sent as it is written
├── NodeUnreachable        (ConnectionError)  no connection to an orchestrator or gateway
│   └── CertificateChanged                    it shows another certificate than the one remembered
├── DiscoveryError         (LookupError)      whoever lists the orchestrators gives no list
├── OrchestratorError                         an orchestrator refused the job or failed at it
│   └── SignatureRefused                      it does not take the signature
├── SignerError                               the remote signer did not do what was asked
│   ├── SignerRefused                         it refused, and would again
│   │   └── TermsExpired                      it wants the orchestrator's terms anew
│   ├── SignerUnavailable                     it cannot at the moment, or there is no way to it
│   └── NothingDue                            it says that nothing is to be paid yet
├── GatewayError                              a gateway refused the job or failed at it
├── NoOrchestrator         (LookupError)      several orchestrators failed, or there is none
├── CapabilityUnavailable  (LookupError)      nobody offers the capability at the moment
├── PaymentRequiredError                      the capability has a price that was not paid
│   ├── PriceTooHigh                          the price is above a ceiling
│   └── SpendLimit                            paying it would exceed what may be spent
├── RunnerError                               the runner itself answered with an error
├── InvalidAnswer          (ValueError)       the answer is not what it should be, or too large
├── JobTimeout             (TimeoutError)     no answer within the job's timeout
└── StreamError                               a stream of events or a live stream
    ├── StreamCut          (EOFError)         it ended before its end was announced
    └── StreamLost         (ConnectionError)  a live stream's channels are gone
```

Every error carries the URL that was attempted, without secrets, the HTTP status if there was one,
by `retryable` whether the same attempt can succeed later, and by `elsewhere` whether another
orchestrator may do better now.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Sequence


class ClientError(Exception):
    """Root of whatever goes wrong with a call or a stream. Misuse of an object is a RuntimeError.

    Attributes:
        url: What was attempted, without secrets; empty when nothing was.
        status: The HTTP status of the answer, if there was one.
        retryable: Whether the same attempt can succeed later.
        elsewhere: Whether another orchestrator may do what this one did not.
    """

    retryable = False
    elsewhere = False

    def __init__(
        self,
        message: str,
        *,
        url: str = "",
        status: int | None = None,
        retryable: bool | None = None,
        elsewhere: bool | None = None,
    ) -> None:
        super().__init__(f"{message} ({url})" if url else message)
        self.url = url
        self.status = status
        if retryable is not None:
            self.retryable = retryable
        if elsewhere is not None:
            self.elsewhere = elsewhere


class ConfigError(ClientError, ValueError):
    """An option of the client is wrong; the text names it and the mend."""


class MissingExtra(ClientError, ImportError):
    """A feature needs an extra that is not installed; the text names it."""


class InvalidKey(ClientError, ValueError):
    """The private key is none. The text never holds any part of it."""


class InvalidJob(ClientError, ValueError):
    """The job cannot be sent as it is written; the text names the field."""


class NodeUnreachable(ClientError, ConnectionError):
    """There is no connection to the orchestrator or gateway, or it was cut.

    Attributes:
        connected: There was a connection, so that the request may have arrived.
    """

    retryable = True
    elsewhere = True

    def __init__(
        self,
        message: str,
        *,
        url: str = "",
        retryable: bool | None = None,
        connected: bool = False,
    ) -> None:
        super().__init__(message, url=url, retryable=retryable)
        self.connected = connected


class CertificateChanged(NodeUnreachable):
    """An orchestrator shows another certificate than the one that is remembered for it.

    An orchestrator makes a new one at each start, and so would somebody who stands between.
    The text names the mend.
    """

    retryable = False


class DiscoveryError(ClientError, LookupError):
    """Whoever lists the orchestrators gives no list; no list is not the same as an empty one."""


class OrchestratorError(ClientError):
    """An orchestrator refused the job or failed at it."""

    elsewhere = True


class SignatureRefused(OrchestratorError):
    """The orchestrator does not take the signature; perhaps it wants the other scheme."""


class SignerError(ClientError):
    """The remote signer did not do what was asked."""


class SignerRefused(SignerError):
    """The remote signer refused, and would refuse the same again."""


class TermsExpired(SignerRefused):
    """The remote signer wants the orchestrator's terms anew (status 480).

    Attributes:
        orchestrator_url: Whose terms; empty where the signer does not say.
    """

    def __init__(
        self, message: str, *, url: str = "", status: int | None = None, orchestrator_url: str = ""
    ) -> None:
        super().__init__(message, url=url, status=status)
        self.orchestrator_url = orchestrator_url


class SignerUnavailable(SignerError):
    """The remote signer cannot at the moment, or there is no way to it."""

    retryable = True


class NothingDue(SignerError):
    """The remote signer says that nothing is to be paid yet (status 482)."""


class GatewayError(ClientError):
    """A gateway refused the job or failed at it."""


class NoOrchestrator(ClientError, LookupError):
    """Several orchestrators were tried and failed, or there is none to try.

    Where only one was tried, and nobody else is left, its own error is raised instead; where all
    failed for want of the capability or of a payment, `CapabilityUnavailable` or
    `PaymentRequiredError`.

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
    elsewhere = True


class PaymentRequiredError(ClientError):
    """The capability has a price that was not paid.

    Attributes:
        price_per_s: The price in wei per second, where it is known.
    """

    elsewhere = True

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


class PriceTooHigh(PaymentRequiredError):
    """The orchestrator's price is above the caller's or the signer's ceiling."""


class SpendLimit(PaymentRequiredError):
    """The payment would exceed what the caller allows to be spent."""


class RunnerError(ClientError):
    """The runner itself answered with an error.

    Attributes:
        detail: What the runner says: the `detail` of a JSON body, else the body. A list of
            mappings with `loc` and `msg` when the payload was not valid.
        retry_after: Seconds after which it is worth another attempt, where the runner says so.

    Args:
        detail: As the attribute.
        url: As for `ClientError`.
        status: As for `ClientError`.
        retryable: As for `ClientError`.
        elsewhere: As for `ClientError`.
        retry_after: As the attribute.
        hint: What the caller probably meant; the end of the text.
    """

    def __init__(
        self,
        detail: object,
        *,
        url: str = "",
        status: int | None = None,
        retryable: bool | None = None,
        elsewhere: bool | None = None,
        retry_after: float | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(
            "; ".join(filter(None, (f"the runner {_verdict(status)}: {_said(detail)}", hint))),
            url=url,
            status=status,
            retryable=retryable,
            elsewhere=elsewhere,
        )
        self.detail = detail
        self.retry_after = retry_after


def _verdict(status: int | None) -> str:
    if status is None:
        return "failed"
    return f"refused with {status}" if 400 <= status < 500 else f"failed with {status}"


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

    elsewhere = True


class JobTimeout(ClientError, TimeoutError):
    """There was no answer within the job's timeout."""

    retryable = True
    elsewhere = True


class StreamError(ClientError):
    """A stream of events or a live stream failed, or cannot do what was asked of it."""


class StreamCut(StreamError, EOFError):
    """A stream of events ended before its end was announced."""


class StreamLost(StreamError, ConnectionError):
    """A live stream's channels are gone although nobody stopped it."""
