"""`livepeer discover` and `livepeer token`, run as users run them."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sys
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from livepeer.client.cli.discover import discover as discover_command
from livepeer.client.cli.token import token as token_command
from livepeer.client.testing import (
    FakeCapability,
    FakeModel,
    fake_discovery,
    fake_orchestrator,
    fake_signer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from conftest import Runner
    from livepeer.client.testing import FakeOrchestrator

NOBODY = "http://127.0.0.1:9"
SECRET = "Bearer top-secret"


@pytest.fixture
async def node(runner: Runner) -> AsyncIterator[FakeOrchestrator]:
    capabilities = {"dear": FakeCapability(runner, price=10), "free": FakeCapability(runner)}
    models = {"noop": FakeModel(runner)}
    async with fake_orchestrator(capabilities, models=models, tls=True, grpc=True) as node:
        yield node


async def livepeer(command: str, *arguments: str, token: str = "") -> tuple[int, str, str]:
    """Run a command in a thread of its own; its sockets are real."""
    app = typer.Typer()
    app.command()({"token": token_command, "discover": discover_command}[command])
    env = {"LIVEPEER_ACCESS_TOKEN": token, "GRPC_VERBOSITY": "NONE"}
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=env)
    return result.exit_code, result.stdout, result.stderr


async def process(command: str, *arguments: str) -> tuple[int | None, str, str]:
    code = f"import typer; from livepeer.client.cli.{command} import {command} as c; typer.run(c)"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


async def test_as_processes(node: FakeOrchestrator) -> None:
    where = ("--orchestrator", node.url, "--orchestrator", NOBODY, "--json")
    terms, offers = await asyncio.gather(
        process("token", "free", *where), process("discover", *where, "--caps", "byoc/free")
    )
    # Nothing on standard error, neither of gRPC's.
    assert (terms[0], terms[2], offers[0], offers[2]) == (0, "", 0, "")
    assert json.loads(terms[1])[0]["free_slots"] == 4
    assert json.loads(offers[1])[0]["offers"] == [{"capability": "byoc/free", "wei": 0, "units": 1}]


async def test_the_terms_of_each(node: FakeOrchestrator) -> None:
    where = ("--orchestrator", NOBODY, "--orchestrator", node.url)
    status, out, err = await livepeer("token", "dear", *where)
    assert (status, err) == (0, "")
    gone, terms = out.splitlines()
    assert gone.startswith(f"{NOBODY}  failed: no connection: Connection refused")
    assert terms == f"{node.url}  price: 10 wei per second  balance: 0 wei  free slots: 4"
    status, out, err = await livepeer("token", "free", *where)
    assert out.splitlines()[1] == f"{node.url}  price: free  balance: 0 wei  free slots: 4"
    status, out, err = await livepeer("token", "nope", *where)
    assert status == 1
    assert out.splitlines()[1] == f"{node.url}  not offered, or every slot is taken"
    assert err == "error: none of 2 orchestrators offers 'nope' at the moment\n"
    status, out, err = await livepeer("token", "dear", "--json", *where)
    assert (status, err) == (0, "")
    gone, terms = json.loads(out)
    assert sorted(gone) == ["error", "url"]
    assert terms == {
        "url": node.url,
        "price_per_s": 10,
        "balance": 0,
        "free_slots": 4,
        "service_addr": node.url,
    }


async def test_whose_balance(node: FakeOrchestrator, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("0x" + "11" * 32 + "\n", encoding="ascii")
    node.set_balance("0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A", "dear", 700)
    where = ("--orchestrator", node.url, "--json")
    key.with_name("bad").write_text("top-secret", encoding="ascii")
    _, out, _ = await livepeer("token", "dear", "--key-file", str(key), *where)
    assert json.loads(out)[0]["balance"] == 700
    for wrong in ("bad", "missing"):
        file = str(key.with_name(wrong))
        status, out, err = await livepeer("token", "dear", "--key-file", file, *where)
        assert (status, out) == (2, "")
        assert "secret" not in err


async def test_what_there_is(node: FakeOrchestrator) -> None:
    entries = [{"address": node.url}, {"address": NOBODY}]
    headers = {"Authorization": SECRET}
    async with fake_discovery(entries, headers=headers) as listed:
        where = ("--discovery", listed.url, "--discovery-header", f"Authorization: {SECRET}")
        everything = await livepeer("discover", *where)
        caps = ("--caps", "byoc/dear,byoc/x", "--caps", "llm/y")
        some = await livepeer("discover", *where, "--json", *caps)
        none = await livepeer("discover", *where, "--caps", "byoc/nope")
    status, out, err = everything
    assert (status, err) == (0, "")
    assert out.splitlines()[:4] == [
        node.url,
        "  byoc/dear  10 wei per second",
        "  byoc/free  free",
        "  live-video-to-video/noop  1 idle, 0 busy",
    ]
    assert out.splitlines()[4].startswith(f"{NOBODY}  failed: no connection: ")
    status, out, err = some
    assert (status, err) == (0, "")
    found, gone = json.loads(out)
    assert found == {
        "url": node.url,
        "score": 1.0,
        "capabilities": [],
        "offers": [{"capability": "byoc/dear", "wei": 10, "units": 1}],
    }
    assert gone["url"] == NOBODY
    assert none[0] == 1
    assert none[2] == "error: no orchestrator answered with such an offer\n"


async def test_a_list_as_it_is(runner: Runner) -> None:
    entries = [{"address": NOBODY, "capabilities": ["llm/x"], "score": 2}]
    async with fake_discovery(entries) as listed:
        where = ("--discovery", listed.url, "--listed")
        plain = await livepeer("discover", *where, "--caps", "llm/x")
        as_json = await livepeer("discover", *where, "--json")
        other = await livepeer("discover", *where, "--caps", "llm/y")
        paths = [request.path for request in listed.seen]
    assert plain == (0, f"{NOBODY}\n  llm/x\n", "")
    assert json.loads(as_json[1]) == [{"url": NOBODY, "score": 2.0, "capabilities": ["llm/x"]}]
    assert other == (1, "", "error: there is no such orchestrator\n")
    assert paths == ["/discover?caps=llm/x", "/discover", "/discover?caps=llm/y"]


async def test_a_changed_certificate(
    node: FakeOrchestrator, caplog: pytest.LogCaptureFixture
) -> None:
    where = ("free", "--orchestrator", node.url)
    assert (await livepeer("token", *where))[0] == 0
    node.host.renew_certificate()
    status, out, err = await livepeer("token", *where)
    assert status == 1
    assert "changed" in out
    assert "error: none of 1" in err
    assert (await livepeer("token", *where, "--repin"))[0] == 0
    assert "CHANGED" in caplog.text
    assert (await livepeer("token", *where, "--no-tofu"))[0] == 1
    assert (await livepeer("token", *where, "--insecure"))[0] == 0


async def test_an_access_token_and_a_remote_signer(node: FakeOrchestrator) -> None:
    async with fake_signer(bearer="top-secret") as signer:
        token = {
            "orchestrators": [node.url],
            "signer": signer.url,
            "signer_headers": {"Authorization": SECRET},
        }
        text = base64.b64encode(json.dumps(token).encode()).decode()
        status, out, err = await livepeer("token", "free", token=text)
        assert (status, err) == (0, "")
        status, out, err = await livepeer(
            "token", "free", "--orchestrator", node.url, "--signer", signer.url
        )
        assert (status, out) == (1, "")
        assert "401" in err


def sealed(**fields: object) -> str:
    return base64.b64encode(json.dumps(fields).encode()).decode()


async def test_what_is_typed_comes_before_the_environment(node: FakeOrchestrator) -> None:
    entries = [{"address": node.url}]
    async with fake_discovery(entries) as listed, fake_signer(discovery=entries) as signer:
        there = sealed(orchestrators=[NOBODY], signer="http://127.0.0.1:9")
        for option, url in (
            ("--orchestrator", node.url),
            ("--discovery", listed.url),
            ("--signer", signer.url),
        ):
            status, out, _ = await livepeer("token", "free", option, url, token=there)
            assert status == 0
            assert out.startswith(node.url)
        # A token that is typed is one of the options, and comes first as ever.
        typed = ("--access-token", sealed(orchestrators=[NOBODY]), "--orchestrator", node.url)
        status, out, _ = await livepeer("token", "free", *typed, token=there)
    assert status == 1
    assert out.startswith(NOBODY)


@pytest.mark.parametrize("typed", [False, True])
async def test_a_key_and_the_signer_of_a_token_exclude_each_other(
    node: FakeOrchestrator, tmp_path: Path, *, typed: bool
) -> None:
    key = tmp_path / "key"
    key.write_text("11" * 32, encoding="ascii")
    token = sealed(orchestrators=[node.url], signer="http://me:top-secret@127.0.0.1:9")
    arguments = ("token", "free", "--key-file", str(key))
    if typed:
        result = await livepeer(*arguments, "--access-token", token)
    else:
        result = await livepeer(*arguments, token=token)
    status, out, err = result
    assert (status, out) == (2, "")
    assert re.search(rf"--key-file {key} and http://127.0.0.1:9, .*; leave --key-file out", err)
    assert node.seen == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("token", "free"), "--orchestrator"),
        (("token", "free", "--orchestrator", "127.0.0.1:9"), "http://"),
        (("token", "free", "--access-token", "top-secret"), "access_token"),
        (("discover", "--discovery", "http://x", "--discovery-header", "top-secret"), "NAME:VALUE"),
        (("discover", "--orchestrator", NOBODY, "--caps", "nope/x"), "pipeline"),
        (("discover", "--orchestrator", NOBODY, "--caps", "byoc/x", "--listed"), "--listed"),
    ],
)
async def test_mistakes_are_one_line(arguments: tuple[str, ...], words: str) -> None:
    status, out, err = await livepeer(*arguments)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert "secret" not in line
