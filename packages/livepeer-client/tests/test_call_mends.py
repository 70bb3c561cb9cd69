"""Batch calls: values that JSON has no word for, files that change, answers that are kept."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from livepeer.client import Capability, Client, ConfigError, InvalidJob
from livepeer.client._body.payload import MAX_PARTS, body_of
from livepeer.client._body.typed import decoder_of
from livepeer.client.testing import FakeCapability, fake_gateway, fake_orchestrator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Runner
    from livepeer.client import CallProgress


class Base(BaseModel):
    x: float | None = 1.0


class More(Base):
    y: int = 2


class Other(BaseModel):
    x: float | None = 1.0


@pytest.fixture
async def client(capabilities: dict[str, FakeCapability]) -> AsyncIterator[Client]:
    async with (
        fake_orchestrator(capabilities) as node,
        fake_gateway([node]) as gateway,
        Client(gateway=gateway.url) as client,
    ):
        yield client


def test_a_payload_is_what_was_given() -> None:
    for nothing in (float("nan"), float("inf")):
        for payload, type_ in ((Base(x=nothing), None), (Base(x=nothing), Base), ([nothing], list)):
            with pytest.raises(InvalidJob, match="JSON"):
                body_of(payload, type_)
    assert body_of(Base(x=None), Base).data() == b'{"x":null}'
    with pytest.raises(InvalidJob, match="no Base"):
        body_of(Other(), Base)
    assert json.loads(body_of([More()], list[Base]).data()) == [{"x": 1.0, "y": 2}]  # type: ignore[arg-type] - bytes: it is small
    assert body_of(None, Base | None).data() == b"null"  # type: ignore[arg-type] - a union
    assert isinstance(decoder_of(Base | Other)(b"{}"), Base)  # type: ignore[arg-type, var-annotated] - likewise
    assert isinstance(decoder_of(Other | Base)(b"{}"), Other)  # type: ignore[arg-type, var-annotated] - likewise


def test_what_cannot_be_sent(tmp_path: Path) -> None:
    for name in (1, "\ud800"):
        with pytest.raises(InvalidJob):
            body_of(None, files={name: b""})  # type: ignore[dict-item] - on purpose
    with pytest.raises(InvalidJob):
        body_of(None, files={"a": ("\ud800", b"")})
    body_of(None, files={"a": [b""] * MAX_PARTS})
    with pytest.raises(InvalidJob, match="parts"):
        body_of(None, files={"a": [b""] * (MAX_PARTS + 1)})
    for options in ({"keep_alive_s": "x"}, {"max_answer_bytes": 0}, {"max_answer_bytes": -1}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            Client(gateway="http://127.0.0.1:9", **options)  # type: ignore[arg-type] - on purpose


async def test_arguments_are_looked_at_before_anything_is_sent(
    client: Client, runner: Runner
) -> None:
    for route in (3, "\ud800"):
        with pytest.raises(InvalidJob, match="route"):
            await client.call("echo", route=route)  # type: ignore[call-overload] - on purpose
    with pytest.raises(InvalidJob, match="Pydantic"):
        await client.call("echo", returns=object())  # type: ignore[call-overload] - on purpose
    assert runner.seen == []
    assert await client.call(Capability("echo", dict[str, int], dict[str, str]), {"a": 1})


async def test_a_file_is_sent_as_it_was_or_not_at_all(
    client: Client, runner: Runner, tmp_path: Path
) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"a" * 2**20)

    def replace(progress: CallProgress) -> None:
        if progress.bytes and progress.phase == "uploading":
            (tmp_path / "b.bin").write_bytes(b"b" * 2**20)
            (tmp_path / "b.bin").replace(file)

    with pytest.raises(InvalidJob, match="changed while it was sent"):
        await client.call("echo", files={"f": file}, on_progress=replace)
    await client.call("echo", files={"f": Path("/proc/self/cmdline")})
    assert b"python" in runner.seen[-1].body


async def test_a_hooks_error_is_the_hooks(capabilities: dict[str, FakeCapability]) -> None:
    told: list[CallProgress] = []

    def fail(progress: CallProgress) -> None:
        told.append(progress)
        raise error

    async with (
        fake_orchestrator(capabilities) as one,
        fake_orchestrator(capabilities) as two,
        Client(orchestrators=[one.url, two.url]) as client,
    ):
        for error in (TimeoutError("mine"), ConnectionResetError("mine")):
            told.clear()
            with pytest.raises(type(error), match=r"^mine$"):
                await client.call("echo", on_progress=fail)
            assert len(told) == 1


async def test_an_answer_is_kept_beside_what_is_there(client: Client, tmp_path: Path) -> None:
    mine, target = tmp_path / "a.part", tmp_path / "a"
    mine.write_bytes(b"mine")

    async def save() -> int:
        async with client.open_call("echo", route="image") as answer:
            return await answer.save(target)

    assert await asyncio.gather(save(), save(), save()) == [6, 6, 6]
    assert (mine.read_bytes(), len(target.read_bytes())) == (b"mine", 6)
    assert sorted(os.listdir(tmp_path)) == ["a", "a.part"]
    async with client.open_call("echo", route="image") as answer:
        with pytest.raises(OSError, match="none/a'"):
            await answer.save(tmp_path / "none" / "a")
    async with client.open_call("echo") as answer:
        await answer.json()
        with pytest.raises(RuntimeError, match="read already"):
            await answer.json()
