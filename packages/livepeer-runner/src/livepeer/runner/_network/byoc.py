"""Registration with a BYOC orchestrator (go-livepeer `byoc/job_orchestrator.go`)."""

from __future__ import annotations

import logging
import secrets
import socket
from dataclasses import dataclass, field
from fractions import Fraction
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
import tenacity

from livepeer.runner.errors import RegistrationError, SettingsError

if TYPE_CHECKING:
    from decimal import Decimal

    from livepeer.runner.settings import Settings

_log = logging.getLogger(__name__)
_INT64 = 2**63 - 1
_MAX_BACKOFF_S = 10.0


@dataclass(frozen=True, slots=True)
class Capability:
    """What is registered; the JSON body of `POST /capability/register`."""

    name: str
    url: str
    capacity: int
    price: Fraction
    currency: str
    description: str
    token: str = field(repr=False)

    def to_json(self) -> dict[str, str | int]:
        """The body; the orchestrator takes whole numbers only, hence the scaling."""
        return {
            "name": self.name,
            "description": self.description,
            "url": self.url,
            "capacity": self.capacity,
            "price_per_unit": self.price.numerator,
            "price_scaling": self.price.denominator,
            "currency": self.currency,
            "token": self.token,
        }


class ByocRegistrar:
    """Registers a capability with one orchestrator.

    The registration carries a token made here; from then on the orchestrator sends it with every
    request, so that nobody else can use the runner around it.
    """

    def __init__(self, capability: Capability, settings: Settings) -> None:
        if settings.orch_url is None:
            raise SettingsError("ORCH_URL is not set")
        self.capability = capability
        self._base = settings.orch_url.rstrip("/")
        self._secret = settings.orch_token
        self._settings = settings
        self._attempted = False
        self._registered = False

    @property
    def token(self) -> str | None:
        """The token of the registration, once the orchestrator has taken it."""
        return self.capability.token or None if self._registered else None

    async def announce(self) -> None:
        """Register; refused connections, timeouts and 5xx are tried again, with backoff.

        Raises:
            RegistrationError: Refused (400, 404, 405 and the like) or given up.
        """
        settings = self._settings
        first_s = settings.register_backoff_s
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_is_retryable),
            wait=tenacity.wait_exponential(multiplier=first_s, max=_MAX_BACKOFF_S)
            + tenacity.wait_random(0, first_s),
            stop=tenacity.stop_after_delay(settings.register_give_up_s),
            before_sleep=_log_attempt,
            reraise=True,
        )
        self._attempted = True
        try:
            await attempts(
                self._post,
                "/capability/register",
                settings.register_timeout_s,
                json=self.capability.to_json(),
            )
        except RegistrationError as exc:
            # Refused is not registered; an attempt that was cut may have been taken.
            self._attempted = exc.retryable
            raise
        self._registered = True
        _log.info("registered %s with %s", self.capability.name, self._base)

    async def withdraw(self) -> None:
        """Unregister, in one attempt; the body is the bare name, for all else is ignored.

        Raises:
            RegistrationError: The orchestrator could not be told.
        """
        if not self._attempted:
            return
        self._attempted = False
        await self._post(
            "/capability/unregister",
            self._settings.withdraw_timeout_s,
            data=self.capability.name.encode(),
        )
        _log.info("unregistered %s from %s", self.capability.name, self._base)

    async def _post(
        self,
        path: str,
        timeout_s: float,
        *,
        json: dict[str, str | int] | None = None,
        data: bytes | None = None,
    ) -> None:
        url = self._base + path
        # The raw secret: with a `Bearer` before it the orchestrator refuses.
        headers = {"Authorization": self._secret.get_secret_value()} if self._secret else {}
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
                session.post(
                    url,
                    json=json,
                    data=data,
                    ssl=self._settings.orch_tls_verify,
                    allow_redirects=False,
                ) as response,
            ):
                # 200 is success; the body says `ok` and calls itself JSON.
                if response.status != HTTPStatus.OK:
                    text = (await response.content.read(200)).decode(errors="replace").strip()
                    raise _refusal(url, response.status, text)
        except aiohttp.ClientConnectorCertificateError as exc:
            raise RegistrationError(
                f"{url}: its certificate is not trusted ({exc.certificate_error});"
                " set LIVEPEER_ORCH_TLS_VERIFY=false to accept it",
                retryable=False,
            ) from exc
        except aiohttp.InvalidURL as exc:
            raise RegistrationError(f"ORCH_URL is no URL: {url}", retryable=False) from exc
        except (TimeoutError, aiohttp.ClientError) as exc:
            reason = str(exc) or type(exc).__name__
            raise RegistrationError(f"{url}: {reason}", retryable=True) from exc


def byoc_registrar(settings: Settings, name: str) -> ByocRegistrar:
    """Make the registrar that the settings describe.

    Args:
        settings: All that concerns the registration.
        name: What is registered where the settings have no name.

    Raises:
        SettingsError: The orchestrator's URL, the own URL or the price cannot be used.
    """
    for variable, url in (("ORCH_URL", settings.orch_url), ("CAPABILITY_URL", _own_url(settings))):
        if url is None or not url.startswith(("http://", "https://")):
            raise SettingsError(f"{variable} is {url!r}; it must begin with http:// or https://")
    capability = Capability(
        name=settings.capability_name or name,
        url=_own_url(settings),
        capacity=settings.capability_capacity,
        price=_price(settings.capability_price, settings.capability_currency),
        currency=settings.capability_currency,
        description=settings.capability_description,
        token=_token(settings),
    )
    return ByocRegistrar(capability, settings)


def _own_url(settings: Settings) -> str:
    # A container's host name is known to its neighbours on a Docker network.
    everywhere = settings.host in ("0.0.0.0", "::")
    host = socket.gethostname() if everywhere else settings.host
    url = settings.capability_url or f"http://{host}:{settings.port}"
    return url.rstrip("/")  # the orchestrator would ask for `//predict`


def _token(settings: Settings) -> str:
    if settings.capability_token:
        return secrets.token_urlsafe(32)
    # Of a runner that asks for its operator's token, an orchestrator without one gets a 401 at the
    # first job, and drops the capability.
    return settings.auth_token.get_secret_value() if settings.auth_token else ""


def _price(price: Decimal, currency: str) -> Fraction:
    exact = Fraction(price)
    if exact.numerator > _INT64 or exact.denominator > _INT64:
        raise SettingsError(f"CAPABILITY_PRICE is {price}; the orchestrator takes 64-bit integers")
    if 0 < exact < 1 and currency.lower() in ("", "wei"):
        _log.warning("a price of %s wei per second is below 1 and will be rounded to 0", price)
    return exact


def _refusal(url: str, status: int, text: str) -> RegistrationError:
    mend = ""
    if status == HTTPStatus.BAD_REQUEST and "authorization" in text:
        mend = "; ORCH_TOKEN must be the orchestrator's secret"
    elif status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        mend = "; ORCH_URL must be the base URL of an orchestrator"
    return RegistrationError(
        f"{url} answered {status} {text!r}{mend}", retryable=status >= 500, status=status
    )


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, RegistrationError) and error.retryable


def _log_attempt(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait_s = state.next_action.sleep if state.next_action else 0.0
    _log.warning("registration: %s; trying again in %.1f s", error, wait_s)
