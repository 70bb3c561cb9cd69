"""`livepeer stub`: models that fit what a runner takes and gives."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from livepeer.client import Client, MissingExtra
from livepeer.client.cli import _stub_code
from livepeer.client.cli._stub_code import write_stub
from livepeer.client.cli._stub_schema import plan_stub
from livepeer.client.testing import (
    FakeCapability,
    RunnerReply,
    RunnerRequest,
    fake_gateway,
    fake_orchestrator,
)

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

NAME = "text-reversal"


def _endpoint(request: object, response: object, *, stream: bool = False, **more: object) -> object:
    return {
        "name": "any",
        "description": 'Says "it".',
        "stream": stream,
        "request": {"content_types": ["application/json"], "schema": request, **more},
        "response": response,
    }


def _ref(name: str) -> dict[str, object]:
    return {"$ref": f"#/$defs/{name}"}


SCHEMA: dict[str, Any] = {
    "name": NAME,
    "kind": "batch",
    "endpoints": {
        "/predict": _endpoint(_ref("Ask"), {"schema": _ref("Price-Output")}),
        "/count-up": _endpoint(_ref("Ask"), {"item": {"type": "integer"}}, stream=True),
        "/zip": _endpoint(
            _ref("Pack"),
            {"content_type": "application/gzip"},
            content_types=["application/json", "multipart/form-data"],
        ),
        "/either": _endpoint(
            {"type": "object", "properties": {}},
            {"schema": {"anyOf": [{"type": "integer"}, _ref("Price-Output")]}},
        ),
        "/list": _endpoint({}, {"schema": {"type": "array", "items": _ref("Price-Output")}}),
    },
    "$defs": {
        "Ask": {
            "type": "object",
            "title": "Ask",
            "additionalProperties": False,
            "required": ["text"],
            "properties": {
                "text": {"type": "string", "title": "Text"},
                "count": {"type": "integer", "default": 1, "minimum": 1},
                "tags": {"type": "array", "items": {"type": "string"}},
                "class": {"type": "string", "enum": ["a", "b"], "default": "a"},
                "box": {**_ref("Price-Output"), "default": {"amount": 1}},
            },
        },
        "Pack": {
            "type": "object",
            "required": ["file", "level"],
            "properties": {
                "file": {"type": "string", "contentEncoding": "base64", "format": "byte"},
                "level": {"type": "integer"},
            },
        },
        "Price-Output": {
            "type": "object",
            "additionalProperties": False,
            "description": "What it costs.",
            "required": ["amount"],
            "properties": {"amount": {"type": "number"}},
        },
    },
}


async def reversal(request: RunnerRequest) -> RunnerReply:
    match request.path:
        case "/schema":
            return RunnerReply.json(SCHEMA)
        case "/zip":
            return RunnerReply(body=request.body)
        case _:
            return RunnerReply.json({"amount": len(request.json()), "more": 1})


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("a_stub", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["a_stub"] = module
    spec.loader.exec_module(module)
    return module


async def livepeer_stub(*arguments: str) -> tuple[int, str, str]:
    code = (
        "import typer; from livepeer.client.cli.stub import stub; app = typer.Typer();"
        " app.command()(stub); app()"
    )
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    ran = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=100, check=False
    )
    return ran.returncode, ran.stdout, ran.stderr


async def test_a_stub_through_the_network_calls_the_capability(tmp_path: Path) -> None:
    path = tmp_path / "reversal.py"
    async with (
        fake_orchestrator({NAME: FakeCapability(reversal)}) as node,
        fake_gateway([node]) as gateway,
        Client(gateway=gateway.url) as client,
    ):
        written = await livepeer_stub(NAME, "--gateway", gateway.url, "--output", str(path))
        assert written == (0, "", f"wrote {path}\n")
        stub = load(path)

        price = await client.call(stub.TEXT_REVERSAL, stub.Ask(text="a"))
        # What was not set, and has no default of its own, is not sent: text, count and class are.
        assert price == stub.PriceOutput(amount=3)
        assert json.loads(gateway.seen[-1].body) == {"text": "a", "count": 1, "class": "a"}

        sent = await client.call(stub.TEXT_REVERSAL_ZIP, stub.Pack(level=1), files={"file": b"x"})
        assert b'filename="file"' in sent
        assert b'name="level"' in sent


def test_what_a_stub_holds(tmp_path: Path) -> None:
    text = write_stub(plan_stub(SCHEMA), "schema.json")
    path = tmp_path / "held.py"
    path.write_text(text, encoding="utf-8")
    stub = load(path)

    assert stub.TEXT_REVERSAL.name == NAME
    assert (stub.TEXT_REVERSAL_COUNT_UP.route, stub.TEXT_REVERSAL_COUNT_UP.output) == (
        "count-up",
        int,
    )
    assert stub.TEXT_REVERSAL_ZIP.output is bytes
    assert stub.TEXT_REVERSAL_LIST.output == list[stub.PriceOutput]
    assert stub.TEXT_REVERSAL_LIST.input is object
    assert stub.TEXT_REVERSAL_EITHER.output.model_validate(5).root == 5
    assert '"""Says \'it\'. `call_events` gives its items."""' in text
    for wrong in ({"text": 1}, {"text": "a", "count": 0}, {"text": "a", "other": 1}, {}):
        with pytest.raises(ValidationError):
            stub.Ask.model_validate(wrong)
    assert stub.PriceOutput.model_validate({"amount": 1, "new": 2}).amount == 1


def test_a_live_capability_has_models_of_its_parameters(tmp_path: Path) -> None:
    params = {
        "type": "object",
        "$defs": {"Mode": {"enum": ["fast", "fine"], "type": "string"}},
        "properties": {"level": {"type": "integer", "default": 60}, "mode": _ref("Mode")},
    }
    text = write_stub(plan_stub({"name": "dim", "params": params}), "schema.json")
    path = tmp_path / "live.py"
    path.write_text(text, encoding="utf-8")
    assert load(path).DimParams(level=5).model_dump() == {"level": 5}
    assert "Capability" not in text


async def test_nothing_to_write_and_nowhere_to_write_it(tmp_path: Path) -> None:
    live, batch = tmp_path / "live.json", tmp_path / "batch.json"
    live.write_text(json.dumps({"name": "x", "kind": "live", "params": None}), encoding="utf-8")
    batch.write_text(json.dumps(SCHEMA), encoding="utf-8")
    target = tmp_path / "x.py"
    nothing, full = await asyncio.gather(
        livepeer_stub("--schema", str(live), "-o", str(target)),
        livepeer_stub("--schema", str(batch), "-o", "/dev/full"),
    )
    said = "error: x is live and takes no parameters: there is nothing to write\n"
    assert nothing == (1, "", said)
    assert not target.exists()
    assert full == (1, "", "error: [Errno 28] No space left on device: '/dev/full'\n")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--schema", "{file}"), 2, "neither `endpoints` nor `params`"),
        (("--schema", "/nonexistent.json"), 2, "/nonexistent.json"),
        (("--schema", "http://user:secret@127.0.0.1:9"), 1, "no schema"),
        ((), 2, "--schema"),
        (("hello",), 2, "--gateway URL"),
    ],
)
async def test_mistakes_are_one_line(
    arguments: tuple[str, ...], status: int, words: str, tmp_path: Path
) -> None:
    (tmp_path / "other.json").write_text('{"name": "x"}', encoding="utf-8")
    typed = [one.format(file=tmp_path / "other.json") for one in arguments]
    returned, out, err = await livepeer_stub(*typed)
    assert (returned, out) == (status, ""), err
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert "secret" not in line


def test_without_the_tool_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stub_code, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"livepeer-client\[cli\]"):
        write_stub(plan_stub(SCHEMA), "schema.json")
