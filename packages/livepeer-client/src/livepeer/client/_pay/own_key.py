"""Payments by a key of one's own: tickets as go-livepeer's gateway makes them.

Source: go-livepeer `byoc/payment.go`, `pm/sender.go`. The only way to pay released orchestrators
for BYOC.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from livepeer.client._wire.encoding import PAYMENT
from livepeer.client.errors import ConfigError, InvalidAnswer, PaymentRequiredError, PriceTooHigh

from .ledger import Ledger, LedgerSession
from .payments import ADMITTED_S, ARREARS_S, Payment
from .tickets import (
    MAX_TICKETS,
    in_tickets,
    payment_header,
    read_price,
    read_ticket_params,
    ticket_count,
    ticket_hash,
    ticket_value,
    total_value,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from fractions import Fraction

    from livepeer.client._proto.livepeer_pb2 import TicketParams
    from livepeer.client._wire.jobs import Job
    from livepeer.client._wire.tokens import JobToken

MAX_TICKET_VALUE: Final = 3_000_000_000_000
"""Wei. An orchestrator chooses what its tickets are worth, and one is the least that can be paid;
go-livepeer takes none that are worth more (`-maxTicketEV`)."""

MAX_PAYMENT_VALUE: Final = 20_000_000_000_000
"""Wei, for one payment; go-livepeer's `-maxTotalEV`."""


class TicketSigner(Protocol):
    """A key that can sign tickets; `LocalSigner` is one."""

    @property
    def address(self) -> str:
        """The address that pays: `0x` and 40 hexadecimal digits."""
        ...

    async def sign_hashes(self, hashes: Sequence[bytes]) -> list[bytes]:
        """A signature of 65 bytes for each hash of 32."""
        ...


class TicketPayments:
    """Pays with tickets that a local key signs. The key needs a deposit and a reserve on chain.

    For a job as much is paid as its timeout costs, and at least a minute, which an orchestrator
    wants to see as credit before it begins; what a job leaves is credit for the next. Nothing is
    paid while the credit is enough for two minutes.

    Args:
        signer: The key; the same that signs the jobs, as credit belongs to its address.
        max_ticket_value: The most that one ticket may be worth, in wei.
        max_payment_value: The most that one payment may be worth, in wei.
        clock: Seconds.

    Raises:
        ConfigError: A limit is not more than 0.

    Attributes:
        payer: The key.
    """

    def __init__(
        self,
        signer: TicketSigner,
        *,
        max_ticket_value: int = MAX_TICKET_VALUE,
        max_payment_value: int = MAX_PAYMENT_VALUE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_ticket_value <= 0 or max_payment_value <= 0:
            raise ConfigError("`max_ticket_value` and `max_payment_value` must be more than 0")
        self.payer = signer
        self._max_ticket_value = max_ticket_value
        self._max_payment_value = max_payment_value
        self._clock = clock

    @property
    def address(self) -> str:
        """The address that pays; jobs have to be signed by the same."""
        return self.payer.address

    def session(
        self,
        job: Job,
        node_url: str,
        *,
        refresh: Callable[[], Awaitable[JobToken]] | None = None,
    ) -> TicketSession:
        """What pays for one job at one orchestrator."""
        del job, node_url, refresh
        return TicketSession(
            self.payer,
            max_ticket_value=self._max_ticket_value,
            max_payment_value=self._max_payment_value,
            clock=self._clock,
        )

    def __repr__(self) -> str:
        return f"TicketPayments(address={self.address!r})"


class TicketSession(LedgerSession):
    """Pays one orchestrator for one job. Made by `TicketPayments`."""

    def __init__(
        self,
        signer: TicketSigner,
        *,
        max_ticket_value: int,
        max_payment_value: int,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(Ledger(clock))
        self._signer = signer
        self._sender = bytes.fromhex(signer.address.removeprefix("0x"))
        self._max_ticket_value = max_ticket_value
        self._max_payment_value = max_payment_value
        # The parameters that were used last, and how many tickets were made of them.
        self._used = (b"", 0)

    async def payment(self, terms: JobToken, *, seconds: int) -> Payment | None:
        """Tickets for `seconds`, or None when nothing is owed.

        Raises:
            PriceTooHigh: Ticket or payment would be worth more than is allowed, or more was paid
                already than the price comes to.
            PaymentRequiredError: The orchestrator's tickets are worth too little to pay with, or
                it refused two payments.
            InvalidAnswer: The token has no ticket parameters, or none that can be read.
        """
        return await self._ledger.payment(terms, lambda: self._make(terms, seconds))

    async def _make(self, terms: JobToken, seconds: int) -> Payment | None:
        params = read_ticket_params(terms)
        if not params.expiration_params.creation_round:
            raise InvalidAnswer("the token's ticket parameters name no round", url=terms.url)
        first, count = self._numbers(terms, params, seconds)
        nonces = range(first, first + count)
        cost = total_value(params, nonces)
        lead = in_tickets(max(ADMITTED_S, seconds) * terms.price_per_s, ticket_value(params))
        if not self._ledger.allows(terms, cost=cost, lead=lead):
            return None
        signatures = await self._signer.sign_hashes(
            [ticket_hash(params, self._sender, nonce) for nonce in nonces]
        )
        header = payment_header(
            params,
            self._sender,
            dict(zip(nonces, signatures, strict=True)),
            price=read_price(terms),
        )
        self._used = (params.recipient_rand_hash, first + count - 1)
        return Payment(headers={PAYMENT: header}, value=cost)

    def _numbers(self, terms: JobToken, params: TicketParams, seconds: int) -> tuple[int, int]:
        """The nonce of the first ticket, and how many there are to be."""
        value = ticket_value(params)
        price = terms.price_per_s
        cost = max(ADMITTED_S, seconds) * price + min(ARREARS_S * price, max(0, -terms.balance))
        count = ticket_count(cost, value)
        if max(0, terms.balance) + count * value < ADMITTED_S * price:
            raise PaymentRequiredError(
                f"the orchestrator wants tickets of {float(value):g} wei, of which {MAX_TICKETS}"
                f" do not pay for a minute at {price} wei per second",
                url=terms.url,
                price_per_s=price,
            )
        self._check(terms, "one ticket", value, "max_ticket_value", self._max_ticket_value)
        total = value * count
        self._check(terms, "the payment", total, "max_payment_value", self._max_payment_value)
        used, last = self._used
        first = last + 1 if used == params.recipient_rand_hash else 1
        if first + count - 1 > MAX_TICKETS:
            raise PaymentRequiredError(
                f"the terms are used up: an orchestrator counts {MAX_TICKETS} tickets of them",
                url=terms.url,
                price_per_s=terms.price_per_s,
            )
        return first, count

    def _check(self, terms: JobToken, what: str, value: Fraction, option: str, limit: int) -> None:
        if value > limit:
            raise PriceTooHigh(
                f"{what} would be worth {float(value):.0f} wei, more than `{option}`, {limit}",
                url=terms.url,
                price_per_s=terms.price_per_s,
            )
