"""How a signer makes a payment: every check of the real one, in its order, and real tickets.

Source: go-livepeer `server/remote_signer.go` (`GenerateLivePayment`), `pm/sender.go`; the flavour
`byoc` is that file in the branch `feat/remote-signer-byoc`.
"""

from __future__ import annotations

import base64
import math
import secrets
from typing import TYPE_CHECKING, Final

from ._ceilings import decimal, exceeded, parse_max_price
from ._credentials import make_credentials
from ._protobuf import Message, Sub, encode
from ._signer_order import MadePayment, Order, SignerLimits, SignerRefusalError
from ._signer_state import SignerState, open_state
from ._tickets import Price, TicketTerms

if TYPE_CHECKING:
    from ._branch import Flavour
    from ._gojson import GoObject
    from ._keys import FakeKey
    from ._tickets import FakeChain

LV2V_UNITS_PER_S: Final = 1280 * 720 * 30
MAX_TICKETS: Final = 100
# A token is refreshed within the last tenth of its half hour.
_REFRESH_BEFORE_S: Final = 180
_MIN_PRELOAD_S: Final = 60


class PaymentMaker:
    """Makes the payments of one key, by the rules of one flavour."""

    def __init__(self, key: FakeKey, chain: FakeChain, flavour: Flavour) -> None:
        self.limits = SignerLimits()
        self._key = key
        self._chain = chain
        self._is_head = flavour == "head"

    def read(self, fields: GoObject) -> Order:
        """Check what the caller sent.

        Raises:
            SignerRefusalError: With a status of 400.
            ValueError: With the text of an error of 400.
        """
        capabilities = fields.data("capabilities")
        Message(capabilities)
        raw = fields.data("orchestrator")
        if not raw:
            raise SignerRefusalError(400, "missing orchestrator")
        info = Message(raw)
        price = Price(per_unit=info.message(3).number(1), units=info.message(3).number(2))
        if not price.per_unit or not price.units:
            raise SignerRefusalError(400, "missing or zero priceInfo")
        if 2 not in info:
            raise SignerRefusalError(400, "missing ticketParams in OrchestratorInfo")
        kind = fields.text("type")
        state = open_state(fields.child("state"), self._key)
        is_first = state is None
        app = fields.text("app") if self._is_head else ""
        orchestrator = info.data(4).hex()
        if state is None:
            state = SignerState(
                state_id=secrets.token_hex(4),
                orchestrator=orchestrator,
                app=app,
                price_per_unit=price.per_unit,
                pixels_per_unit=price.units,
                type=kind,
            )
        else:
            _continue(state, orchestrator=orchestrator, app=app, kind=kind)
        return Order(
            fields=fields,
            type=kind,
            info=info,
            terms=TicketTerms.decode(info.message(2), info.message(2).message(7)),
            price=price,
            state=state,
            is_first=is_first,
            manifest_id=self._manifest_id(fields, kind, state, is_first=is_first),
            capabilities=capabilities,
        )

    def _manifest_id(
        self, fields: GoObject, kind: str, state: SignerState, *, is_first: bool
    ) -> str:
        if kind == "byoc" and not self._is_head:
            return state.state_id
        manifest_id = fields.text("ManifestID")
        if not manifest_id and not is_first:
            raise SignerRefusalError(400, "missing manifestID")
        return manifest_id or secrets.token_hex(4)

    def check_session(self, order: Order, now: float) -> None:
        """Raises `SignerRefusalError` where the caller must refresh (480), or 400."""
        prefix = "remote signer could not check whether to refresh session: "
        if 6 not in order.info:
            raise SignerRefusalError(400, prefix + "missing auth token")
        refresh = SignerRefusalError(
            480,
            "refresh session for remote signer",
            {"Livepeer-Orchestrator-URL": order.info.text(1)},
        )
        if now > order.info.message(6).number(3) - _REFRESH_BEFORE_S:
            raise refresh
        problem = self._problem(order.terms, 1)
        if problem == "TicketParams expired":
            raise refresh
        if problem:
            raise SignerRefusalError(400, prefix + problem)

    def _problem(self, terms: TicketTerms, tickets: int) -> str | None:
        """Why tickets of these terms are not made; None when they are."""
        if terms.expiration_block == 0:
            return "ticketParams expiration block is 0"
        if terms.expiration_block - self._chain.block <= 1:
            return "TicketParams expired"
        value, limits = terms.value, self.limits
        if value <= 0:
            return None
        total = value * tickets
        problems = {
            f"ticket faceValue too low faceValue={terms.face_value}": value >= terms.face_value,
            f"ticket EV {decimal(value, 5)} > max ticket EV {limits.max_ticket_value}.00000": (
                value > limits.max_ticket_value
            ),
            "no sender deposit": limits.deposit == 0,
            (
                f"total ticket EV {decimal(total, 5)} for {tickets} tickets"
                f" > max total ticket EV {limits.max_total_value}.00000"
            ): total > limits.max_total_value,
            f"ticket faceValue {terms.face_value} > max faceValue {limits.deposit}": (
                terms.face_value > limits.deposit
            ),
        }
        return next((text for text, holds in problems.items() if holds), None)

    def units(self, order: Order, now: float) -> int:
        """What is to be paid for, in the units of the price.

        Raises:
            SignerRefusalError: 400 for a type that this flavour does not know.
        """
        last = order.state.last_update or now
        elapsed = now - last
        match order.type:
            case "lv2v":
                units = int(LV2V_UNITS_PER_S * (elapsed if elapsed > 0 else 60))
            case "live":
                units = math.ceil(elapsed if elapsed > 0 else 10)
            case "fixed":
                units = 1
            case "byoc" if not self._is_head:
                preload = max(order.fields.number("preloadSeconds"), _MIN_PRELOAD_S)
                seconds = max(1.0, elapsed) if elapsed > 0 else preload
                units = math.ceil(seconds) * order.price.units
            case "":
                units = order.fields.number("inPixels")
            case _:
                raise SignerRefusalError(400, "invalid job type")
        if units <= 0:
            raise SignerRefusalError(400, "missing billable unit or job type")
        return units

    def check_price(self, order: Order) -> None:
        """Raises `SignerRefusalError`: 481 above a ceiling, 400 for a ceiling that is none."""
        ceilings = {"configured maximum price": self.limits.max_price}
        if self._is_head:
            if order.fields.raw("maxPrice") is not None:
                wanted = parse_max_price(order.fields.child("maxPrice"), order.type)
                ceilings["request maxPrice"] = wanted
            if not order.is_first:
                ceilings["initial session price"] = order.state.price
        elif order.price.rate > order.state.price * 2:
            raise SignerRefusalError(481, "Orchestrator price has more than doubled")
        problem = exceeded(order.price.rate, ceilings)
        if problem:
            raise SignerRefusalError(481, problem)

    def pay(self, order: Order, now: float) -> tuple[str, MadePayment]:
        """Make the tickets and write them into the state.

        Returns:
            The value of the payment header, and what is known of it.

        Raises:
            SignerRefusalError: 482 when credit still covers the fee, 400 for too many tickets.
        """
        state, value = order.state, order.terms.value
        fee = self.units(order, now) * state.price
        gap = max(fee, value) - state.credit
        count = math.ceil(gap / value) if gap > 0 and value > 0 else 0
        if count == 0:
            raise SignerRefusalError(482, "no tickets")
        if count > MAX_TICKETS:
            raise SignerRefusalError(400, f"numTickets {count} exceeds maximum of {MAX_TICKETS}")
        problem = self._problem(order.terms, count)
        if problem:
            raise SignerRefusalError(500, problem)
        session = order.terms.rand_hash.hex()
        first = (state.nonce if state.session_id == session else 0) + 1
        nonces = tuple(range(first, first + count))
        state.balance = str(state.credit + count * value - fee)
        state.last_update, state.session_id, state.nonce = now, session, nonces[-1]
        made = MadePayment(
            type=order.type,
            state_id=state.state_id,
            sequence=state.sequence,
            manifest_id=order.manifest_id,
            app=state.app,
            nonces=nonces,
            value=int(count * value),
            fee=int(fee),
            capabilities=order.capabilities,
        )
        return base64.b64encode(self._encode(order, nonces)).decode(), made

    def _encode(self, order: Order, nonces: tuple[int, ...]) -> bytes:
        terms, sender = order.terms, self._key.raw
        tickets = [
            encode({1: nonce, 2: self._key.sign_digest(terms.ticket_hash(sender, nonce))})
            for nonce in nonces
        ]
        return encode(
            {
                1: terms.encode(with_expiration=False),
                2: sender,
                3: terms.encode_expiration(),
                4: tickets,
                5: Sub(order.info.data(3)),
            }
        )

    def credentials(self, order: Order) -> str:
        """The value of the segment header."""
        return make_credentials(
            self._key,
            order.manifest_id,
            auth_token=order.info.data(6),
            capabilities=order.capabilities or None,
        )


def _continue(state: SignerState, *, orchestrator: str, app: str, kind: str) -> None:
    if state.orchestrator != orchestrator:
        raise SignerRefusalError(400, "orchestratorAddress mismatch")
    if state.app != app:
        raise SignerRefusalError(400, "app mismatch")
    if state.type and state.type != kind:
        raise SignerRefusalError(400, "job type mismatch")
    state.type = kind
    state.sequence += 1
