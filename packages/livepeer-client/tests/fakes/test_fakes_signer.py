"""The fake remote signer: every check of the real one, and tickets that are good."""

from __future__ import annotations

import asyncio
import base64
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from livepeer.client._proto import livepeer_pb2 as pb
from livepeer.client.testing import (
    FakeChain,
    FakeClock,
    FakeSigner,
    Verdict,
    fake_signer,
)
from livepeer.client.testing._keys import FakeKey, is_digest_signed, is_signed, raw_address
from livepeer.client.testing._protobuf import Message
from livepeer.client.testing._recipient import Recipient
from livepeer.client.testing._tickets import TicketTerms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from conftest import Caller

NODE = bytes.fromhex("22" * 20)
SENDER = FakeKey("11" * 32)


def make_info(
    chain: FakeChain, *, price: int = 10, units: int = 1, value: int = 10_000
) -> pb.OrchestratorInfo:
    terms = Recipient(NODE, chain, ticket_value=value).terms(SENDER.raw, Fraction(price, units))
    return pb.OrchestratorInfo(
        transcoder="https://o.example:8935",
        address=NODE,
        price_info=pb.PriceInfo(pricePerUnit=price, pixelsPerUnit=units),
        ticket_params=pb.TicketParams.FromString(terms.encode()),
        auth_token=pb.AuthToken(token=b"t", session_id="s", expiration=int(time.time()) + 1800),
    )


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - a server tells nobody what it saw
            await asyncio.sleep(0.01)


def text_of(info: pb.OrchestratorInfo) -> str:
    return base64.b64encode(info.SerializeToString()).decode()


@pytest.fixture
def chain() -> FakeChain:
    return FakeChain()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def signer(chain: FakeChain, clock: FakeClock) -> AsyncIterator[FakeSigner]:
    async with fake_signer(key="11" * 32, chain=chain, clock=clock) as signer:
        yield signer


@pytest.fixture
async def branch(chain: FakeChain, clock: FakeClock) -> AsyncIterator[FakeSigner]:
    async with fake_signer(flavour="byoc", key="11" * 32, chain=chain, clock=clock) as signer:
        yield signer


async def test_credentials(signer: FakeSigner, caller: Caller, vectors: dict[str, Any]) -> None:
    row = vectors["token_creds"][0]
    status, body, _ = await caller.post(f"{signer.url}/sign-orchestrator-info")
    assert status == 200
    assert body == {"address": row["signed_string"], "signature": row["signature"]}
    async with caller.http.get(f"{signer.url}/sign-orchestrator-info") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"


async def test_a_job_is_signed_by_the_branch_alone(
    signer: FakeSigner, branch: FakeSigner, caller: Caller, vectors: dict[str, Any]
) -> None:
    row = next(r for r in vectors["job_signature_v1_branch"]["vectors"] if r["key"] == "K1")
    fields = row["fields"]
    status, _, _ = await caller.post(f"{signer.url}/sign-byoc-job", fields)
    assert status == 404
    url = f"{branch.url}/sign-byoc-job"
    status, body, _ = await caller.post(url, fields)
    assert (status, body["signature"]) == (200, row["signature"])
    for change, text in (
        ({"id": ""}, "requires non-empty id and capability"),
        ({"timeout_seconds": 0}, "timeout_seconds must be positive"),
        ({"timeout_seconds": 1 << 32}, "timeout_seconds exceeds maximum 4294967295"),
        ({"timeout_seconds": 1.5}, "cannot unmarshal number"),
        ({"request": "x" * (1 << 20)}, "request body too large"),
    ):
        status, body, _ = await caller.post(url, {**fields, **change})
        assert status == 400
        assert text in body["error"]["message"]


async def test_the_tickets_of_a_payment_are_good(
    signer: FakeSigner, caller: Caller, chain: FakeChain
) -> None:
    info = make_info(chain, value=40)
    status, body = await caller.pay(
        signer, orchestrator=text_of(info), type="live", ManifestID="m1", app="me"
    )
    assert status == 200, body
    payment = pb.Payment.FromString(base64.b64decode(body["payment"]))
    # 10 s at 10 wei, in tickets of 40.
    assert [ticket.sender_nonce for ticket in payment.ticket_sender_params] == [1, 2, 3]
    assert payment.sender == SENDER.raw
    assert payment.expected_price == info.price_info
    assert not payment.ticket_params.HasField("expiration_params")
    ticket_params = Message(info.ticket_params.SerializeToString())
    terms = TicketTerms.decode(ticket_params, ticket_params.message(7))
    for ticket in payment.ticket_sender_params:
        ticket_hash = terms.ticket_hash(SENDER.raw, ticket.sender_nonce)
        assert is_digest_signed(ticket_hash, ticket.sig, SENDER.raw)
    segment = pb.SegData.FromString(base64.b64decode(body["segCreds"]))
    assert (segment.manifestId, segment.auth_token) == (b"m1", info.auth_token)
    assert is_signed(segment.manifestId + bytes(32) + segment.hash, segment.sig, SENDER.raw)
    made = signer.payments[0]
    assert (made.type, made.app, made.manifest_id, made.fee) == ("live", "me", "m1", 100)
    assert made.value == 120


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"orchestrator": ""}, "missing orchestrator"),
        ({"orchestrator": "Cg"}, "base64"),
        ({"orchestrator": "CgVh"}, "ends within"),
        ({"capabilities": "CgVh"}, "ends within"),
        ({"clear": "price_info"}, "missing or zero priceInfo"),
        ({"clear": "ticket_params"}, "missing ticketParams in OrchestratorInfo"),
        ({"clear": "auth_token"}, "check whether to refresh session: missing auth token"),
        ({"type": "byoc"}, "invalid job type"),
        ({"type": ""}, "missing billable unit or job type"),
        ({"type": 5}, "cannot unmarshal number"),
        ({"state": {"State": "e30=", "Sig": "e30="}}, "invalid sig"),
        ({"state": {"State": "not base64", "Sig": ""}}, "base64"),
        ({"maxPrice": {"price": 0}}, "maxPrice.price must be a positive decimal"),
        ({"maxPrice": {"price": "x"}}, "maxPrice.price must be a positive decimal"),
        ({"maxPrice": {"price": 1, "currency": "usd"}}, "maxPrice.currency must be wei"),
        (
            {"maxPrice": {"price": 1, "currency": "WEI", "unit": "fixed"}},
            "maxPrice.unit must be seconds for payment type live",
        ),
        (
            {"maxPrice": {"price": 1, "currency": "wei"}, "type": "", "inPixels": 1},
            "maxPrice requires payment type live, lv2v, or fixed",
        ),
        ({"type": "lv2v"}, "numTickets 1658880 exceeds maximum of 100"),
    ],
)
async def test_refusals(
    signer: FakeSigner, caller: Caller, chain: FakeChain, change: dict[str, Any], text: str
) -> None:
    info = make_info(chain)
    cleared = change.pop("clear", None)
    if cleared:
        info.ClearField(cleared)
    fields = {"orchestrator": text_of(info), "type": "live", **change}
    status, body = await caller.pay(signer, **fields)
    assert status == 400
    assert text in body["error"]["message"]
    assert signer.payments == []


@pytest.mark.parametrize(
    ("kind", "first", "later"),
    [
        ("live", 10, 3),
        ("lv2v", 60 * 27_648_000, int(2.5 * 27_648_000)),
        ("fixed", 1, 1),
        ("", 7, 7),
        ("byoc", 90, 3),
    ],
)
async def test_what_is_owed(
    branch: FakeSigner,
    caller: Caller,
    chain: FakeChain,
    clock: FakeClock,
    kind: str,
    first: int,
    later: int,
) -> None:
    info = text_of(make_info(chain, price=1, value=100_000_000))
    extra = {"inPixels": 7, "preloadSeconds": 90, "ManifestID": "m"}
    _, body = await caller.pay(branch, orchestrator=info, type=kind, **extra)
    state = body["state"]
    clock.advance(2.5)
    status, body = await caller.pay(branch, orchestrator=info, type=kind, state=state, **extra)
    assert status == 200, body
    assert [made.fee for made in branch.payments] == [first, later]


async def test_a_session_carries_its_state(
    signer: FakeSigner, caller: Caller, chain: FakeChain, clock: FakeClock
) -> None:
    info = make_info(chain, value=100)
    base = {"orchestrator": text_of(info), "type": "live", "ManifestID": "m", "app": "a"}
    _, body = await caller.pay(signer, **base)
    state = body["state"]
    assert signer.payments[-1].nonces == (1,)
    for change, text in (
        ({"ManifestID": ""}, "missing manifestID"),
        ({"app": "b"}, "app mismatch"),
        ({"type": "fixed"}, "job type mismatch"),
        ({"orchestrator": text_of(pb_with(info, address=b"\3" * 20))}, "orchestratorAddress"),
        ({"state": {**state, "Sig": state["Sig"][:-8] + "AAAAAAA="}}, "invalid sig"),
    ):
        status, body = await caller.pay(signer, **{**base, "state": state, **change})
        assert status == 400
        assert text in body["error"]["message"]
    # The ticket's 100 wei were all owed: the next is bought for any time at all.
    clock.advance(1.2)
    status, body = await caller.pay(signer, **base, state=state)
    assert (status, signer.payments[-1].nonces, signer.payments[-1].fee) == (200, (2,), 20)
    # 80 wei of credit are less than a ticket, so that one more is bought, and then none.
    clock.advance(1)
    status, body = await caller.pay(signer, **base, state=body["state"])
    clock.advance(1)
    status, last = await caller.pay(signer, **base, state=body["state"])
    assert (status, last["error"]["message"]) == (482, "no tickets")
    # New parameters begin at nonce 1, and the state goes on.
    fresh = {**base, "orchestrator": text_of(make_info(chain, value=100))}
    clock.advance(20)
    status, body = await caller.pay(signer, **fresh, state=body["state"])
    assert (status, signer.payments[-1].nonces[0], signer.payments[-1].sequence) == (200, 1, 3)
    assert signer.reused_states == 0
    await caller.pay(signer, **base, state=state)
    assert signer.reused_states == 1
    assert signer.most_at_once == 1


def pb_with(info: pb.OrchestratorInfo, **fields: Any) -> pb.OrchestratorInfo:
    copy = pb.OrchestratorInfo.FromString(info.SerializeToString())
    for name, value in fields.items():
        setattr(copy, name, value)
    return copy


async def test_what_is_old_is_refreshed(
    signer: FakeSigner, caller: Caller, chain: FakeChain, clock: FakeClock
) -> None:
    info = make_info(chain)
    chain.block += 39
    url, body = f"{signer.url}/generate-live-payment", {"type": "live"}
    status, answer, headers = await caller.post(url, {**body, "orchestrator": text_of(info)})
    assert (status, answer["error"]["message"]) == (480, "refresh session for remote signer")
    assert headers["livepeer-orchestrator-url"] == "https://o.example:8935"
    clock.advance(1800 - 179)
    status, _, _ = await caller.post(url, {**body, "orchestrator": text_of(make_info(chain))})
    assert status == 480


async def test_prices_above_a_ceiling(
    signer: FakeSigner, branch: FakeSigner, caller: Caller, chain: FakeChain
) -> None:
    cheap, dear = text_of(make_info(chain)), text_of(make_info(chain, price=11))
    limit = {"price": "10.5", "currency": "wei", "unit": "seconds"}
    for fields in (
        {"orchestrator": dear, "maxPrice": limit},
        {"orchestrator": dear, "ManifestID": "m", "state": await start(caller, signer, cheap)},
    ):
        status, body = await caller.pay(signer, type="live", **fields)
        assert status == 481
        assert "orchestrator price 11.000 exceeds" in body["error"]["message"]
    signer.limits.max_price = Fraction(9)
    status, _ = await caller.pay(signer, type="live", orchestrator=cheap)
    assert status == 481
    # The branch lets a price rise up to the double.
    state = await start(caller, branch, cheap)
    more = {"type": "live", "state": state, "ManifestID": "m"}
    for price, expected in ((20, 200), (21, 481)):
        info = text_of(make_info(chain, price=price))
        assert (await caller.pay(branch, orchestrator=info, **more))[0] == expected


async def start(caller: Caller, signer: FakeSigner, info: str) -> object:
    _, body = await caller.pay(signer, orchestrator=info, type="live")
    return body["state"]


async def test_limits_of_the_sender(signer: FakeSigner, caller: Caller, chain: FakeChain) -> None:
    limits = signer.limits
    for name, value, expected, text in (
        ("max_ticket_value", 99, 400, "max ticket EV"),
        ("deposit", 0, 400, "no sender deposit"),
        ("deposit", 5, 400, "max faceValue"),
        ("max_total_value", 10_050, 200, ""),
        ("max_total_value", 150, 500, "Internal Server Error"),
    ):
        old = getattr(limits, name)
        setattr(limits, name, value)
        info = text_of(make_info(chain, value=100, price=100))
        status, body = await caller.pay(signer, orchestrator=info, type="live")
        setattr(limits, name, old)
        assert (status, name) == (expected, name), body
        assert expected == 200 or text in body["error"]["message"]


async def test_the_operators_webhook(
    signer: FakeSigner, caller: Caller, chain: FakeChain, clock: FakeClock
) -> None:
    asked: list[str] = []
    verdict = Verdict(expiry=int(clock()) + 60, auth_id="ada")

    def webhook(headers: Any) -> Verdict:
        asked.append(headers.get("x-user", ""))
        return verdict

    signer.webhook = webhook
    url = f"{signer.url}/generate-live-payment"
    base = {"orchestrator": text_of(make_info(chain)), "type": "live", "ManifestID": "m"}
    _, body, _ = await caller.post(url, base, {"X-User": "ada"})
    clock.advance(1)
    await caller.post(url, {**base, "state": body["state"]})
    # Not asked again within the expiry.
    assert asked == ["ada"]
    for given, expected, text in (
        (Verdict(status=403, reason="denied"), 403, "denied"),
        (Verdict(status=429), 429, "signer auth rejected request with status 429"),
        (Verdict(max_price={"price": 1}), 502, "signer auth invalid maxPrice"),
        (
            Verdict(max_price={"price": 1, "currency": "wei", "unit": "seconds"}),
            481,
            "auth webhook maxPrice",
        ),
    ):
        verdict = given
        status, body, _ = await caller.post(url, base)
        assert status == expected
        assert text in body["error"]["message"]
    signer.webhook = None
    _, body, _ = await caller.post(url, base, {"Signer-Auth-Id": "ada"})
    clock.advance(1)
    status, body, _ = await caller.post(
        url, {**base, "state": body["state"]}, {"Signer-Auth-Id": "bob"}
    )
    # The reason of a 500 is hidden.
    assert (status, body["error"]["message"]) == (500, "Internal Server Error")


async def test_discovery(caller: Caller, signer: FakeSigner) -> None:
    async def ask(at: FakeSigner, query: str = "") -> tuple[int, Any]:
        url = f"{at.url}/discover-orchestrators{query}"
        async with caller.http.get(url) as response:
            is_json = response.content_type == "application/json"
            return response.status, await response.json() if is_json else None

    entries = [
        {"address": "https://a", "capabilities": ["text-to-image/black-forest-labs/FLUX.1-dev"]},
        {"address": "https://b", "capabilities": ["llm/x", "llm/y"], "runners": []},
    ]
    assert await ask(signer) == (404, None)
    async with fake_signer(discovery=entries, bearer="s3cret") as other:
        assert (await ask(other))[0] == 401
        other.bearer = ""
        assert [e["address"] for e in (await ask(other))[1]] == ["https://a", "https://b"]
        flux = "?caps=text-to-image/black-forest-labs%2FFLUX.1-dev"
        assert [e["address"] for e in (await ask(other, flux))[1]] == ["https://a"]
        assert len((await ask(other, "?caps=llm/x&caps=&caps=llm/y&app=z"))[1]) == 1
        assert await ask(other, "?caps=llm/x,llm/y") == (200, [])
        other.discovery = []
        assert await ask(other) == (
            503,
            {"error": {"message": "Service Unavailable Error"}},
        )
        assert [r.path for r in other.seen][1] == "/discover-orchestrators"


async def test_faults_on_order(signer: FakeSigner, caller: Caller, chain: FakeChain) -> None:
    base = {"orchestrator": text_of(make_info(chain)), "type": "live"}
    signer.faults.answer(480, "no", times=2, path="/generate", json_body=True)
    for expected in (480, 480, 200):
        assert (await caller.pay(signer, **base))[0] == expected
    signer.faults.drop(path="/generate")
    signer.faults.lose(path="/generate")
    for made in (1, 2):
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.pay(signer, **base)
        assert len(signer.payments) == made
    gate = asyncio.Event()
    signer.faults.hold(gate, times=2)
    calls = [asyncio.create_task(caller.pay(signer, **base)) for _ in range(2)]
    await until(lambda: len(signer.seen) == 7)
    assert not any(call.done() for call in calls)
    gate.set()
    assert [status for status, _ in await asyncio.gather(*calls)] == [200, 200]
    signer.faults.answer(503)
    signer.faults.clear()
    signer.faults.delay(0.01)
    assert (await caller.pay(signer, **base))[0] == 200
    assert raw_address(signer.address) == SENDER.raw
