"""Live video on the fake orchestrator: gRPC, start, payments, refresh, charges and its end."""

from __future__ import annotations

import base64
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import grpc.aio
import pytest

from livepeer.client._proto import livepeer_pb2 as pb
from livepeer.client.testing import (
    FakeCapability,
    FakeClock,
    FakeModel,
    FakeOrchestrator,
    FakeSigner,
    RunnerReply,
    RunnerRequest,
    fake_orchestrator,
    fake_signer,
)
from livepeer.client.testing._keys import FakeKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Caller

# A second of video costs 2,764.8 wei.
PRICE = Fraction(1, 10_000)
METHOD = "/net.Orchestrator/GetOrchestrator"
NOOP = pb.Capabilities(
    capacities={35: 1},
    constraints=pb.Capabilities.Constraints(
        PerCapability={
            35: pb.Capabilities.CapabilityConstraints(
                models={"noop": pb.Capabilities.CapabilityConstraints.ModelConstraint()}
            )
        }
    ),
)


class Runner:
    def __init__(self) -> None:
        self.starts: list[dict[str, Any]] = []
        self.status = 200

    async def __call__(self, request: RunnerRequest) -> RunnerReply:
        assert request.path == "/live-video-to-video"
        self.starts.append(request.json())
        return RunnerReply(status=self.status, body=b"no")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def model() -> FakeModel:
    return FakeModel(Runner(), price=PRICE, capacity=2)


@pytest.fixture
async def node(clock: FakeClock, model: FakeModel) -> AsyncIterator[FakeOrchestrator]:
    async with fake_orchestrator(
        {"hello": FakeCapability(Runner(), price=7)},
        models={"noop": model},
        clock=clock,
        grpc=True,
        ticket_value=5_000,
    ) as node:
        yield node


@pytest.fixture
async def signer(clock: FakeClock) -> AsyncIterator[FakeSigner]:
    async with fake_signer(key="11" * 32, clock=clock) as signer:
        yield signer


async def ask(
    node: FakeOrchestrator, key: FakeKey | None, capabilities: pb.Capabilities | None, **more: Any
) -> pb.OrchestratorInfo:
    request = pb.OrchestratorRequest(capabilities=capabilities, **more)
    if key is not None:
        request.address, request.sig = key.raw, key.sign(key.address.encode())
    async with grpc.aio.insecure_channel(node.url.removeprefix("http://")) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        return pb.OrchestratorInfo.FromString(await call(request.SerializeToString()))


def raw(text: str) -> bytes:
    return base64.b64decode(text)


async def headers_of(
    caller: Caller, signer: FakeSigner, info: pb.OrchestratorInfo, **more: Any
) -> tuple[dict[str, str], Any]:
    status, body = await caller.pay(
        signer,
        orchestrator=base64.b64encode(info.SerializeToString()).decode(),
        capabilities=base64.b64encode(NOOP.SerializeToString()).decode(),
        type="lv2v",
        **more,
    )
    assert status == 200, body
    headers = {"Livepeer-Payment": body["payment"], "Livepeer-Segment": body["segCreds"]}
    return headers, body["state"]


async def test_what_the_rpc_tells(node: FakeOrchestrator, caller: Caller, clock: FakeClock) -> None:
    info = await ask(node, caller.key, None)
    assert (info.transcoder, info.address) == (node.url, node.address)
    assert info.price_info.pricePerUnit == 0
    prices = [(p.capability, p.constraint, p.pricePerUnit) for p in info.capabilities_prices]
    assert prices == [(37, "hello", 7)]
    assert info.capabilities.constraints.PerCapability[35].models["noop"].capacity == 2
    assert info.auth_token.expiration == int(clock() + 1800)
    assert info.ticket_params.expiration_params.creation_round == node.chain.round
    priced = await ask(node, caller.key, NOOP)
    assert (priced.price_info.pricePerUnit, priced.price_info.pixelsPerUnit) == (1, 10_000)
    assert not priced.capabilities_prices
    # With constraints alone, the price is that of transcoding.
    node.transcoding_price = Fraction(3)
    half = pb.Capabilities(constraints=NOOP.constraints)
    assert (await ask(node, caller.key, half)).price_info.pricePerUnit == 3
    assert pb.OrchestratorRequest.FromString(node.infos[0]).address == caller.key.raw


async def test_what_the_rpc_refuses(
    node: FakeOrchestrator, caller: Caller, model: FakeModel
) -> None:
    wrong = FakeKey("22" * 32).sign(caller.key.address.encode())
    lower = caller.key.sign(caller.key.address.lower().encode())
    for bad in (wrong, lower, b""):
        with pytest.raises(grpc.aio.AioRpcError, match="orchestrator req sig check failed"):
            await ask(node, None, None, address=caller.key.raw, sig=bad)
    model.capacity = 0
    with pytest.raises(grpc.aio.AioRpcError, match="OrchestratorCapped") as caught:
        await ask(node, caller.key, NOOP)
    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    assert (await ask(node, caller.key, NOOP, ignoreCapacityCheck=True)).transcoder
    node.reserve = False
    with pytest.raises(grpc.aio.AioRpcError, match="insufficient sender reserve"):
        await ask(node, caller.key, None)


async def test_a_job_from_start_to_end(
    node: FakeOrchestrator,
    signer: FakeSigner,
    caller: Caller,
    clock: FakeClock,
    model: FakeModel,
) -> None:
    info = await ask(node, caller.key, NOOP)
    headers, state = await headers_of(caller, signer, info)
    body = {"model_id": "noop", "params": {"a": 1}, "stream_id": "x"}
    status, answer, _ = await caller.post(f"{node.url}/live-video-to-video", body, headers)
    assert status == 200, answer
    manifest = answer["manifest_id"]
    base = f"{node.url}/ai/trickle/{manifest}"
    assert answer == {
        "manifest_id": manifest,
        "publish_url": base,
        "subscribe_url": f"{base}-out",
        "control_url": f"{base}-control",
        "events_url": f"{base}-events",
    }
    start = model.handler.starts[0]  # type: ignore[attr-defined]  # the fixture's runner
    assert (start["subscribe_url"], start["params"]) == (base, {"a": 1})
    paid = node.balance(signer.address, manifest)
    # 60 s, in whole tickets.
    assert paid == 170_000
    # The next payment names the orchestrator's manifest, and counts for it.
    clock.advance(3)
    headers, state = await headers_of(caller, signer, info, state=state, ManifestID=manifest)
    status, result, _ = await caller.post(f"{node.url}/payment", b"", headers)
    assert status == 200
    renewed = pb.PaymentResult.FromString(_bytes(result)).info
    assert renewed.auth_token == info.auth_token
    assert renewed.ticket_params != info.ticket_params
    assert node.balance(signer.address, manifest) == paid + 5_000
    # The same payment again is refused, and so is one for a stream of no account.
    status, text, _ = await caller.post(f"{node.url}/payment", b"", headers)
    assert (status, "already seen" in text) == (400, True)
    # Segments are charged, at most every 5 s.
    clock.advance(4)
    await caller.post(f"{base}/0", b"segment")
    assert node.balance(signer.address, manifest) == 175_000 - int(7 * 27_648_000 * PRICE) - 1
    before = node.balance(signer.address, manifest)
    clock.advance(4)
    await caller.post(f"{base}/1", b"segment")
    assert node.balance(signer.address, manifest) == before
    # In debt, it ends: every channel closes.
    node.set_balance(signer.address, manifest, 0)
    clock.advance(4)
    await caller.post(f"{base}/2", b"segment")
    assert node.live_video.jobs == {}
    assert not node.trickle.has_channel(f"{manifest}-events")


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


async def test_the_end_of_the_input_ends_a_job(
    node: FakeOrchestrator, signer: FakeSigner, caller: Caller
) -> None:
    headers, _ = await headers_of(caller, signer, await ask(node, caller.key, NOOP))
    _, answer, _ = await caller.post(
        f"{node.url}/live-video-to-video", {"model_id": "noop"}, headers
    )
    assert node.busy("noop") == 1
    async with caller.http.delete(answer["publish_url"]) as response:
        assert response.status == 200
    assert node.busy("noop") == 0
    assert not node.trickle.has_channel(f"{answer['manifest_id']}-control")


async def test_starts_that_are_refused(
    node: FakeOrchestrator,
    signer: FakeSigner,
    caller: Caller,
    clock: FakeClock,
    model: FakeModel,
) -> None:
    url = f"{node.url}/live-video-to-video"
    info = await ask(node, caller.key, NOOP)
    good, _ = await headers_of(caller, signer, info)

    async def start(headers: dict[str, str], **body: Any) -> tuple[int, str]:
        status, text, _ = await caller.post(url, {"model_id": "noop", **body}, headers)
        return status, str(text).strip()

    assert (await start(good, model_id=5))[0] == 400
    assert await start(good, model_id="other") == (503, "insufficient capacity")
    assert (await start({**good, "Livepeer-Payment": "!"}))[0] == 402
    assert await start({}) == (403, "ErrSegSig")
    assert await start({**good, "Livepeer-Segment": "!"}) == (403, "ErrorSegEncoding")
    other = pb.SegData.FromString(raw(good["Livepeer-Segment"]))
    other.manifestId = b"other"
    changed = base64.b64encode(other.SerializeToString()).decode()
    assert await start({**good, "Livepeer-Segment": changed}) == (403, "ErrSegSig")
    with pytest.raises(aiohttp.ClientConnectionError):
        await start(good, model_id=None)
    # Tokens of another orchestrator, and of this one before it started again.
    stranger = pb.OrchestratorInfo.FromString(info.SerializeToString())
    stranger.auth_token.session_id = "other"
    bad, _ = await headers_of(caller, signer, stranger)
    assert await start(bad) == (403, "invalid auth token")
    clock.advance(1801)
    assert await start(good) == (403, "expired auth token")
    clock.advance(-1801)
    model.handler.status = 500  # type: ignore[attr-defined]  # the fixture's runner
    assert await start(good) == (500, "no")
    assert node.live_video.jobs == {}
    await node.restart()
    assert await start(good) == (403, "invalid auth token")


async def test_incompatible_and_unpaid(
    node: FakeOrchestrator, signer: FakeSigner, caller: Caller
) -> None:
    info = await ask(node, caller.key, NOOP)
    fields: dict[str, Any] = {
        "orchestrator": base64.b64encode(info.SerializeToString()).decode(),
        "type": "lv2v",
        "capabilities": base64.b64encode(
            pb.Capabilities(bitstring=[1 << 35]).SerializeToString()
        ).decode(),
    }
    _, body = await caller.pay(signer, **fields)
    headers = {"Livepeer-Payment": body["payment"], "Livepeer-Segment": body["segCreds"]}
    url = f"{node.url}/live-video-to-video"
    status, text, _ = await caller.post(url, {"model_id": "noop"}, headers)
    assert (status, text) == (403, "incompatible capabilities\n")
    headers, _ = await headers_of(caller, signer, info)
    empty = pb.Payment(sender=caller.key.raw, expected_price=info.price_info)
    headers["Livepeer-Payment"] = base64.b64encode(empty.SerializeToString()).decode()
    status, text, _ = await caller.post(url, {"model_id": "noop"}, headers)
    assert (status, text) == (400, "Insufficient balance\n")


async def test_refreshing_keeps_the_price(
    node: FakeOrchestrator, signer: FakeSigner, caller: Caller, model: FakeModel
) -> None:
    url = f"{node.url}/refresh-payment"
    headers, state = await headers_of(caller, signer, await ask(node, caller.key, NOOP))
    _, answer, _ = await caller.post(
        f"{node.url}/live-video-to-video", {"model_id": "noop"}, headers
    )
    manifest = answer["manifest_id"]
    model.price = Fraction(1)
    body = {"sender": signer.address, "manifest_id": manifest}
    status, fresh, _ = await caller.post(url, body)
    assert status == 200
    info = pb.OrchestratorInfo.FromString(raw(fresh.pop("payment_params")))
    assert fresh == {
        "orchestrator": node.url,
        "manifest_id": manifest,
        "payment_url": f"{node.url}/payment",
    }
    assert (info.price_info.pricePerUnit, info.price_info.pixelsPerUnit) == (1, 10_000)
    assert info.auth_token.session_id == manifest
    headers, _ = await headers_of(caller, signer, info, state=state, ManifestID=manifest)
    assert (await caller.post(f"{node.url}/payment", b"", headers))[0] == 200
    node.cashier.forget(caller.key.raw, manifest)
    for change, status, text in (
        ({}, 409, "fixed price not found for session"),
        ({"sender": "x"}, 400, "invalid sender"),
        ({"manifest_id": " "}, 400, "missing manifest_id"),
        ({"sender": 5}, 400, "cannot unmarshal"),
    ):
        got, error, _ = await caller.post(url, {**body, **change})
        assert got == status
        assert text in error["error"]["message"]


async def test_without_a_chain_a_token_is_enough(caller: Caller, model: FakeModel) -> None:
    async with fake_orchestrator({}, verify=False, models={"noop": model}, grpc=True) as node:
        info = await ask(node, None, NOOP)
        assert not info.HasField("ticket_params")
        segment = pb.SegData(auth_token=info.auth_token).SerializeToString()
        headers = {"Livepeer-Segment": base64.b64encode(segment).decode(), "Livepeer-Payment": ""}
        url = f"{node.url}/live-video-to-video"
        status, _, _ = await caller.post(url, {"model_id": "noop"}, headers)
        assert status == 200
        status, text, _ = await caller.post(url, {"model_id": "noop"}, {})
        assert (status, text) == (403, "missing auth token\n")
        assert node.busy("noop") == 1
