"""Typed calls: a stub that was made of what a runner says through the network calls that runner."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator  # noqa: TC003 - read at run time
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from livepeer.client import CallProgress, RunnerError
from livepeer.client.cli._stub_code import write_stub
from livepeer.client.cli._stub_schema import plan_stub
from livepeer.runner import Pipeline, endpoint
from livepeer.runner.files import ContentType, File

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Network
    from livepeer.client import Client


class Box(BaseModel):
    width: int = 2
    tags: list[str] = Field(default_factory=lambda: ["new"])


class Price(BaseModel):
    amount: float
    currency: str
    box: Box


class Quote(Pipeline):
    """Tells what something costs."""

    def predict(
        self,
        item: str,
        count: Annotated[int, Field(ge=1)] = 1,
        currency: Literal["EUR", "USD"] = "EUR",
        box: Box | None = None,
    ) -> Price:
        return Price(amount=2.5 * count + len(item), currency=currency, box=box or Box(width=9))

    @endpoint
    def count_up(self, to: int) -> Iterator[Price]:
        for number in range(to):
            yield Price(amount=number, currency="EUR", box=Box())

    @endpoint
    def join(
        self, first: File, second: File, between: str = ""
    ) -> Annotated[bytes, ContentType("application/gzip")]:
        return first.read() + between.encode() + second.read()


def load(path: Path) -> Any:
    spec = spec_from_file_location("typed_stub", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["typed_stub"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_a_stub_made_through_the_network(
    network: Network, client: Client, tmp_path: Path
) -> None:
    async with network.serve(Quote(), name="a-quote") as runner:
        described = await client.schema(runner.name)
        async with network.http() as http, http.get(f"{runner.url}/schema") as own:
            assert described == await own.json()

        def make() -> Any:
            path, plan = tmp_path / "stub.py", plan_stub(described, runner.name)
            path.write_text(write_stub(plan, "the network"), encoding="utf-8")
            return load(path)

        stub = await asyncio.to_thread(make)

        price = await client.call(stub.A_QUOTE, stub.QuoteRequest(item="tea", count=2))
        assert (price.amount, price.currency, price.box.width) == (8.0, "EUR", 9)
        # The runner's own default for what was not set.
        boxed = stub.QuoteRequest(item="tea", box=stub.Box(width=3))
        assert (await client.call(stub.A_QUOTE, boxed)).box.tags == ["new"]
        with pytest.raises(ValidationError):
            stub.QuoteRequest(item="tea", currency="XXX")

        items = client.call_events(stub.A_QUOTE_COUNT_UP, stub.QuoteCountUpRequest(to=3))
        assert [item.amount async for item in items] == [0, 1, 2]

        large = tmp_path / "large.bin"
        large.write_bytes(bytes(range(256)) * 8192)
        seen: list[CallProgress] = []
        joined = await client.call(
            stub.A_QUOTE_JOIN,
            stub.QuoteJoinRequest(between="-"),
            files={"first": large, "second": b"end"},
            on_progress=seen.append,
        )
        assert joined == large.read_bytes() + b"-end"
        assert [p.phase for p in seen if p.bytes in (0, p.total)][:1] == ["uploading"]
        # Whoever hands the answer on need not tell its length.
        assert seen[-1].total in (None, len(joined))
        assert (seen[-1].phase, seen[-1].bytes) == ("receiving", len(joined))
        with pytest.raises(RunnerError, match="second: Field required"):
            await client.call(stub.A_QUOTE_JOIN, files={"first": b"1"}, payload=None)
