"""Live-video jobs: credentials, payments, failover, and their end."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from livepeer.client import (
    CapabilityUnavailable,
    ClientError,
    ConfigError,
    EndReason,
    InvalidAnswer,
    InvalidJob,
    JobTimeout,
    LocalSigner,
    NoOrchestrator,
    PaymentRequiredError,
    PriceTooHigh,
    SignerRefused,
    SpendLimit,
    StreamSettings,
    start_lv2v,
)
from livepeer.client._proto.livepeer_pb2 import OrchestratorRequest, SegData
from livepeer.client.testing import (
    FakeClock,
    FakeModel,
    RunnerReply,
    Verdict,
    fake_orchestrator,
    fake_signer,
)
from livepeer.trickle import JSONPublisher, TricklePublisher, TrickleSubscriber

from .streams import LIMIT_S, QUICK, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from livepeer.client import LV2VJob
    from livepeer.client.testing import FakeOrchestrator, FakeSigner, RunnerRequest

PRICE = Fraction(1, 10_000)
MAKE = "/generate-live-payment"


class Model:
    """A runner that records how it was started."""

    def __init__(self) -> None:
        self.starts: list[dict[str, Any]] = []

    async def __call__(self, request: RunnerRequest) -> RunnerReply:
        self.starts.append(dict(request.json()))
        return RunnerReply.json({})


@pytest.fixture
def model() -> Model:
    return Model()


@asynccontextmanager
async def offering(
    model: Model, *, price: Fraction = Fraction(0), **options: Any
) -> AsyncGenerator[FakeOrchestrator]:
    models = {"noop": FakeModel(model, price=price)}
    async with fake_orchestrator({}, models=models, grpc=True, **options) as node:
        yield node


@pytest.fixture
async def free(model: Model) -> AsyncIterator[FakeOrchestrator]:
    async with offering(model, verify=False) as node:
        yield node


@asynccontextmanager
async def paid_for(model: Model) -> AsyncGenerator[tuple[FakeOrchestrator, FakeSigner]]:
    """A priced orchestrator and a signer, whose common time runs a hundred times as fast."""
    clock = FakeClock()

    async def run() -> None:
        while True:
            await asyncio.sleep(0.05)
            clock.advance(5)

    async with (
        offering(model, price=PRICE, clock=clock) as node,
        fake_signer(clock=clock) as signer,
    ):
        running = asyncio.create_task(run())
        yield node, signer
        running.cancel()


async def paying(node: FakeOrchestrator, signer: FakeSigner, **options: Any) -> LV2VJob:
    """A job that pays twenty times a second."""
    return await start_lv2v(
        "noop", orchestrators=[node.url], signer=signer.url, pay_every_s=0.05, **options
    )


def sent(node: FakeOrchestrator, path: str) -> list[dict[str, str]]:
    return [dict(seen.headers) for seen in node.seen if seen.path == path]


def segment_of(headers: dict[str, str]) -> SegData:
    return SegData.FromString(base64.b64decode(headers["livepeer-segment"]))


async def test_a_free_job_from_start_to_stop(free: FakeOrchestrator, model: Model) -> None:
    job = await start_lv2v(
        "noop",
        params={"p": 1},
        orchestrators=[free.url],
        stream_id="s1",
        request_id="r1",
        settings=QUICK,
    )
    async with job:
        (start,) = model.starts
        assert (start["params"], start["stream_id"]) == ({"p": 1}, "s1")
        assert start["gateway_request_id"] == "r1"
        # Asked without a bitstring, by both maps.
        asked = OrchestratorRequest.FromString(free.infos[0])
        assert not asked.capabilities.bitstring
        assert asked.capabilities.capacities[35] == 1
        (headers,) = sent(free, "/live-video-to-video")
        assert headers["livepeer-payment"] == ""
        segment = segment_of(headers)
        assert segment.auth_token.session_id
        # The session's token, and nothing else.
        assert segment == SegData(auth_token=segment.auth_token)

        assert job.urls.data is None
        async with job.publisher() as ours, TrickleSubscriber(start["subscribe_url"]) as theirs:
            await ours.write_segment(b"G" * 188)
            assert await (await anext(theirs)).read(1000) == b"G" * 188
            async with TricklePublisher(start["publish_url"]) as out, job.subscriber() as got:
                await out.write_segment(b"O" * 376)
                assert await (await anext(got)).read(1000) == b"O" * 376
            async with JSONPublisher(start["events_url"]) as events:
                await events.publish({"type": "never_heard_of"})
                await events.publish({"type": "status", "fps": 7})
            seen = job.events()
            assert [(await anext(seen))["type"] for _ in range(2)] == ["never_heard_of", "status"]
            await job.update({"q": 2})
            async with TrickleSubscriber(start["control_url"], start=0) as control:
                said = [json.loads(await (await anext(control)).read(1000)) for _ in range(5)]
            assert {"q": 2} in said
            assert {"keep": "alive"} in said
    assert job.end is not None
    assert job.end.reason is EndReason.CALLER
    assert free.live_video.jobs == {}


async def test_the_input_is_closed_though_nothing_was_published(free: FakeOrchestrator) -> None:
    async with await start_lv2v("noop", orchestrators=[free.url]) as job:
        assert job.stream_id in free.live_video.jobs
    assert free.live_video.jobs == {}
    await job.stop()


async def test_wrong_arguments_are_told_before_anything_is_sent(free: FakeOrchestrator) -> None:
    with pytest.raises(InvalidJob, match="model_id"):
        await start_lv2v(" ", orchestrators=[free.url])
    with pytest.raises(ConfigError, match="orchestrators"):
        await start_lv2v("noop")
    with pytest.raises(ConfigError, match="signer_headers"):
        await start_lv2v("noop", orchestrators=[free.url], signer_headers={"A": "b"})
    assert free.seen == []
    assert free.infos == []


async def test_the_next_orchestrator_is_asked(free: FakeOrchestrator, model: Model) -> None:
    async with offering(model, verify=False) as full, offering(model, verify=False) as other:
        full.models["noop"].capacity = 0
        del other.models["noop"]
        urls = [full.url, other.url]
        async with await start_lv2v("noop", orchestrators=[*urls, free.url]) as job:
            assert job.session.node_url == free.url
        for status, text in ((503, "insufficient capacity"), (403, "incompatible capabilities")):
            free.faults.answer(status, text, path="/live-video-to-video")
            async with (
                offering(model, verify=False) as last,
                await start_lv2v("noop", orchestrators=[free.url, last.url]) as job,
            ):
                assert job.session.node_url == last.url
        with pytest.raises(ClientError) as caught:
            await start_lv2v("noop", orchestrators=urls)
        assert isinstance(caught.value, CapabilityUnavailable | NoOrchestrator)
        # Each with its reason.
        assert "2 orchestrators" in str(caught.value)


@pytest.mark.parametrize("missing", ["events_url", "publish_url", "manifest_id"])
async def test_a_job_whose_answer_cannot_be_used_is_ended(
    free: FakeOrchestrator, model: Model, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    run = free.faults.run

    async def without(request: web.Request, handler: Any) -> web.StreamResponse:
        answer = await run(request, handler)
        if request.path != "/live-video-to-video":
            return answer
        assert isinstance(answer, web.Response)
        assert isinstance(answer.body, bytes)
        assert free.live_video.jobs
        fields = json.loads(answer.body)
        del fields[missing]
        return web.json_response(fields)

    monkeypatch.setattr(free.faults, "run", without)
    with pytest.raises(InvalidAnswer, match=missing):
        await start_lv2v("noop", orchestrators=[free.url])
    assert len(model.starts) == 1
    assert free.live_video.jobs == {}


async def test_those_that_are_silent_cost_twice_what_one_has(
    free: FakeOrchestrator, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("livepeer.client._nodes.failover.DEADLINE", 0.01)
    gate = asyncio.Event()
    async with offering(model, verify=False) as silent:
        silent.faults.hold(gate, path="/live-video-to-video")
        with pytest.raises(NoOrchestrator, match=r"0\.06 s.* no further orchestrator") as caught:
            await start_lv2v("noop", orchestrators=[silent.url, free.url], timeout_s=1)
        gate.set()
    assert [type(cause) for cause in caught.value.causes] == [JobTimeout]
    assert free.seen == []


async def test_the_signer_is_told_the_price_that_was_told(model: Model) -> None:
    async with paid_for(model) as (node, signer):
        async with await paying(node, signer):
            await until(lambda: len(node.payments) >= 2)
        asked = [json.loads(seen.body)["maxPrice"] for seen in signer.seen if seen.path == MAKE]
        assert len(asked) >= 2
        assert {(each["currency"], each["unit"]) for each in asked} == {
            ("wei", "720p-pixel-seconds")
        }
        assert [each["price"] for each in asked] == pytest.approx(
            [float(PRICE) * 1.012] * len(asked)
        )


async def test_payments_go_on_without_media(model: Model) -> None:
    async with paid_for(model) as (node, signer):
        with pytest.raises(PaymentRequiredError, match="nothing pays"):
            await start_lv2v("noop", orchestrators=[node.url], signer=LocalSigner.ephemeral())
        with pytest.raises(PriceTooHigh):
            await start_lv2v("noop", orchestrators=[node.url], signer=signer.url, max_price_per_s=1)
        assert model.starts == []
        async with await paying(node, signer) as job:
            await until(lambda: len(node.payments) >= 3)
        # All into the account of the job, whoever named it first.
        assert {payment.account for payment in node.payments} == {job.stream_id}
        assert {made.type for made in signer.payments} == {"lv2v"}
        assert {made.manifest_id for made in signer.payments[1:]} == {job.stream_id}
        assert signer.reused_states == 0
        assert signer.most_at_once == 1
        (segment, *_) = [segment_of(headers) for headers in sent(node, "/live-video-to-video")]
        assert not segment.capabilities.bitstring


async def test_a_payment_whose_reply_was_lost_is_sent_as_it_was(model: Model) -> None:
    async with paid_for(model) as (node, signer):
        node.faults.drop(times=1, path="/payment")
        async with await paying(node, signer, settings=StreamSettings(pay_again_s=0.05)) as job:
            await until(lambda: len(sent(node, "/payment")) >= 3)
            assert job.end is None
        first, second, *_ = sent(node, "/payment")
        assert first["livepeer-payment"] == second["livepeer-payment"]


@pytest.mark.parametrize("status", [400, 402, 403])
async def test_a_refused_payment_is_renewed_once(model: Model, status: int) -> None:
    async with paid_for(model) as (node, signer):
        node.faults.answer(status, "no", path="/payment")
        async with await paying(node, signer) as job:
            await until(lambda: len(node.payments) >= 2)
            assert job.end is None
        first, second, *_ = sent(node, "/payment")
        assert first["livepeer-payment"] != second["livepeer-payment"]


@pytest.mark.parametrize("status", [400, 402])
async def test_a_refused_start_is_paid_anew_once(model: Model, status: int) -> None:
    async with paid_for(model) as (node, signer):
        for times in (1, 2):
            node.faults.answer(status, "no", path="/live-video-to-video", times=times)
            starting = start_lv2v("noop", orchestrators=[node.url], signer=signer.url)
            if times == 1:
                async with await starting:
                    assert len(node.payments) == 1
            else:
                with pytest.raises(PaymentRequiredError, match="two payments were refused"):
                    await starting
        starts = [headers["livepeer-payment"] for headers in sent(node, "/live-video-to-video")]
        assert len(starts) == len(set(starts)) == 4


async def test_one_that_is_full_after_a_payment_is_left_for_the_next(model: Model) -> None:
    async with paid_for(model) as (full, signer), offering(model, price=PRICE) as other:
        full.faults.answer(503, "insufficient capacity", path="/live-video-to-video", times=2)
        urls = [full.url, other.url]
        async with await start_lv2v("noop", orchestrators=urls, signer=signer.url) as job:
            assert job.session.node_url == other.url
        # Each orchestrator has a session of its own at the signer.
        assert len({made.state_id for made in signer.payments}) == 2
        other.faults.answer(503, "insufficient capacity", path="/live-video-to-video")
        with pytest.raises(ClientError) as caught:
            await start_lv2v("noop", orchestrators=urls, signer=signer.url)
        assert all(url in str(caught.value) for url in urls)
        assert str(caught.value).count("insufficient capacity") == 2
        # So has one whose terms the signer does not like.
        signer.faults.answer(
            400, "numTickets 300 exceeds maximum of 100", path=MAKE, json_body=True
        )
        async with await start_lv2v("noop", orchestrators=urls, signer=signer.url) as job:
            assert job.session.node_url == other.url


async def test_a_signer_that_refuses_ends_it(model: Model) -> None:
    async with paid_for(model) as (node, signer):
        job = await paying(node, signer, settings=StreamSettings(pay_again_s=0.05))
        await until(lambda: len(node.payments) >= 2)
        signer.webhook = lambda _headers: Verdict(status=403, reason="denied")
        end = await asyncio.wait_for(job.ended(), LIMIT_S)
        assert end.reason is EndReason.PAYMENT
        assert "denied" in end.text
        assert isinstance(end.error, PaymentRequiredError)
        assert isinstance(end.error.__cause__, SignerRefused)
        asked = len(signer.seen)
        await job.stop()
        # Some payments later it is still not asked.
        await asyncio.sleep(0.3)
        assert len(signer.seen) == asked


async def test_the_price_of_a_running_job_is_pinned(model: Model) -> None:
    async with (
        paid_for(model) as (node, signer),
        await paying(node, signer) as job,
    ):
        await until(lambda: len(node.payments) >= 2)
        node.models["noop"].price = PRICE * 1000
        signer.limits.max_price = PRICE * 2
        signer.faults.answer(480, times=1, path="/generate-live-payment")
        await until(lambda: "/refresh-payment" in node.paths())
        paid = len(node.payments)
        await until(lambda: len(node.payments) >= paid + 2)
        assert job.end is None


async def test_no_credit_is_told_as_that(model: Model) -> None:
    async with paid_for(model) as (node, signer):
        job = await paying(node, signer, settings=StreamSettings(probe_s=0.05, pay_again_s=0.05))
        await until(lambda: len(node.payments) >= 2)
        # It cannot pay for a while, which alone is no end.
        signer.faults.answer(503, path="/generate-live-payment", times=1000)
        paid = len(signer.seen)
        await until(lambda: len(signer.seen) > paid + 3)
        assert job.end is None
        node.live_video.end(job.stream_id)
        end = await asyncio.wait_for(job.ended(), LIMIT_S)
        assert end.reason is EndReason.PAYMENT
        assert isinstance(end.error, PaymentRequiredError)
        await job.stop()


async def test_what_may_be_spent_ends_it(model: Model) -> None:
    async with paid_for(model) as (node, signer):
        job = await paying(node, signer, max_spend=300_000, reconnect=True)
        end = await asyncio.wait_for(job.ended(), LIMIT_S)
        assert end.reason is EndReason.PAYMENT
        assert isinstance(end.error, SpendLimit)
        assert sum(payment.value for payment in node.payments) <= 300_000
        # Money is no reason to go elsewhere.
        assert len(model.starts) == 1
        await until(lambda: not node.live_video.jobs)
        await job.stop()


async def test_a_job_goes_on_at_another_orchestrator(free: FakeOrchestrator, model: Model) -> None:
    async with offering(model, verify=False) as dying:
        job = await start_lv2v(
            "noop",
            params={"p": 1},
            orchestrators=[dying.url, free.url],
            settings=QUICK,
            reconnect=True,
        )
        await job.update({"q": 2})
        first = job.session
        await dying.kill()
        following = await job.next_session(first, within_s=LIMIT_S)
        assert following is not None
        assert following.node_url == free.url
        assert model.starts[-1]["params"] == {"p": 1, "q": 2}
        (gap,) = job.reconnects
        assert gap.end.reason in (EndReason.ORCHESTRATOR, EndReason.NETWORK)
        await job.stop()
    assert free.live_video.jobs == {}
