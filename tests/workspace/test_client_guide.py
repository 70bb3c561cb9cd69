"""The guide to the client says what is so: snippets and commands run, tables match the code.

Snippets run in this process, as in `python -m asyncio`; commands run as a reader runs them. Each
section has a network of its own, with the pipelines that it serves.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import io
import os
import re
import sys
import tomllib
from contextlib import AsyncExitStack, asynccontextmanager, redirect_stdout
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import livepeer.client
from livepeer.client import (
    Client,
    ClientError,
    ClientOptions,
    DiscoveryURL,
    Finder,
    Reconnect,
    RemoteSigner,
    StreamSettings,
    TicketPayments,
)
from livepeer.client._answers import answer, refusals
from livepeer.client._body import payload
from livepeer.client._find import discovery, finder, orchestrator_info
from livepeer.client._net import grpc, http, trust
from livepeer.client._nodes import direct, failover, gateway, node, terms
from livepeer.client._pay import payments, signer_account, tickets
from livepeer.client._sign import remote, signing
from livepeer.client._streams import lv2v
from livepeer.client._wire import encoding
from livepeer.client.client import STOP_S
from livepeer.client.media import FramePublisher, Transfer, _rtmp as rtmp_process, output, rtmp
from livepeer.client.testing import fake_discovery, fake_signer
from livepeer.runner._local.network import LocalNetwork
from livepeer.runner.testing import serve
from livepeer.trickle.media import pipe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import CodeType

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGE = (ROOT / "packages" / "livepeer-client" / "README.md").read_text(encoding="utf-8")
LIMIT_S = 60.0

GATEWAY = "http://127.0.0.1:9935"
ORCHESTRATOR = "http://127.0.0.1:8935"
SIGNER = "https://signer.example"
DISCOVERY = "https://discovery.example/orchestrators"
PLACEHOLDERS = (GATEWAY, ORCHESTRATOR, SIGNER, DISCOVERY)

BLOCK = re.compile(r"```(\w+)\n(.*?)```(?:\n\n```text\n(.*?)```)?", flags=re.DOTALL)
DEV = re.compile(r"uv run livepeer dev ([\w./]+)(?: --price (\d+))?")
SECTIONS = {
    section.partition("\n")[0]: section
    for section in GUIDE.split("\n## ")[1:]
    if BLOCK.search(section)
}
# They serve the same.
SECTIONS["READMEs"] = README.split("\n## Callers\n")[1].split("\n## ")[0] + PACKAGE
GREETER = next(text for _, text, _ in BLOCK.findall(GUIDE) if "class Greeter(" in text)

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("LIVEPEER_")},
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "COLUMNS": "120",
}


@pytest.mark.parametrize("title", SECTIONS)
async def test_snippets_and_commands_do_what_the_guide_says(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    section = SECTIONS[title]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "greeter.py").write_text(GREETER, encoding="utf-8")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    async with network(section, tmp_path) as urls, Client(orchestrators=[urls[ORCHESTRATOR]]) as it:
        names: dict[str, Any] = {"__name__": "__main__", "client": it}
        for language, text, output in BLOCK.findall(section):
            for placeholder in PLACEHOLDERS:
                text = text.replace(placeholder, urls[placeholder])
            async with asyncio.timeout(LIMIT_S):
                if language == "python":
                    printed = await run_snippet(text, names)
                elif language == "sh":
                    printed = await run_commands(DEV.sub("", text), tmp_path)
                else:
                    continue
            for placeholder in PLACEHOLDERS:
                printed = printed.replace(urls[placeholder], placeholder)
            assert masked(printed) == masked(output), text


@asynccontextmanager
async def network(section: str, folder: Path) -> AsyncGenerator[dict[str, str]]:
    """The pipelines that a section serves, behind one orchestrator, a signer and a list."""
    served = dict.fromkeys(["greeter.py"]) | dict(DEV.findall(section))
    price = next((price for price in served.values() if price), None)
    async with AsyncExitStack() as stack:
        local = await stack.enter_async_context(LocalNetwork(charge=price is not None))
        for name in served:
            pipeline = load(folder / name if (folder / name).exists() else ROOT / name)
            runner = await stack.enter_async_context(
                serve(
                    pipeline,
                    # As `livepeer dev` has it.
                    live_policy="wait",
                    orch_url=local.orchestrator_url,
                    capability_price=int(price or 0),
                )
            )
            await runner.wait_registered()
        entries = [{"address": local.orchestrator_url}]
        signer = await stack.enter_async_context(
            fake_signer(flavour="byoc", bearer="secret", discovery=entries)
        )
        listing = await stack.enter_async_context(
            fake_discovery(entries, headers={"Authorization": "Bearer secret"})
        )
        yield {
            GATEWAY: local.gateway_url,
            ORCHESTRATOR: local.orchestrator_url,
            SIGNER: signer.url,
            DISCOVERY: listing.url,
        }


def load(path: Path) -> type:
    """The pipeline of a file, or of an example's folder."""
    file = path / "pipeline.py" if path.is_dir() else path
    spec = importlib.util.spec_from_file_location(f"client_guide_{path.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    (found,) = (
        value
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == spec.name and hasattr(value, "setup")
    )
    return found


def masked(text: str) -> str:
    """Without what was measured: numbers with a decimal point, and what that time cost.

    And without the lines of progress that a slow machine gets to see.
    """
    text = re.sub(r"(?m)^\d+ of \d+ s: .*\n", "", text)
    return re.sub(r"\b\d+\.\d+(?= )|(?<=^paid: )\d+", "#", text, flags=re.MULTILINE)


async def run_snippet(text: str, names: dict[str, Any]) -> str:
    """What a snippet prints, run on this loop; without `await`, as a script, on a thread."""
    code = compile(text, "client.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    printed = io.StringIO()
    with redirect_stdout(printed):
        if code.co_flags & inspect.CO_COROUTINE:
            await eval(code, names)
        else:
            await asyncio.to_thread(run_script, code, names)
    return printed.getvalue()


def run_script(code: CodeType, names: dict[str, Any]) -> None:
    exec(code, names)


async def run_commands(text: str, folder: Path) -> str:
    """What commands print; they may say nothing on standard error, which is not a terminal."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-e", "-o", "pipefail", "-c", text),
        cwd=folder,
        env={**ENVIRONMENT, "XDG_DATA_HOME": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, out.decode()
    return out.decode()


def rows(title: str) -> list[list[str]]:
    """The rows of the tables under a heading."""
    text = GUIDE.split(f" {title}\n")[1]
    text = re.split(r"(?m)^#", text)[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith("|---")
    ]


def test_every_error_has_a_row_and_no_other():
    named = {name for row in rows("Errors") for name in re.findall(r"`(\w+)`", row[0])}
    known = {
        name
        for name in livepeer.client.__all__
        if inspect.isclass(kind := getattr(livepeer.client, name))
        and issubclass(kind, ClientError)
        and kind is not ClientError
    }
    assert named - {"catch"} == known


def test_every_option_and_argument_is_explained():
    prose = re.sub(r"(?ms)^```.*?^```$", "", GUIDE)
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`", prose))))
    assert set(ClientOptions.__annotations__) <= words | set(re.findall(r"(\w+)=", GUIDE))
    given = {name for row in rows("Calls") for name in re.findall(r"`(\w+)`", row[0])}
    assert given == set(inspect.signature(Client.call).parameters) - {"self"}


def test_extras_and_commands_are_those_that_there_are():
    project = tomllib.loads(
        (ROOT / "packages" / "livepeer-client" / "pyproject.toml").read_text(encoding="utf-8")
    )["project"]
    for text in (GUIDE, PACKAGE):
        found = re.findall(r"(?m)^\| `(\w+)` \|", text.split("| extra | for |")[1].split("\n\n")[0])
        assert sorted(found) == sorted(project["optional-dependencies"])
    named = re.findall(r"(?m)^\| `livepeer (\w+)", GUIDE)
    assert sorted(named) == sorted(project["entry-points"]["livepeer.commands"])


NUMBERS = {
    "the wait beyond it": (node.GRACE_S, gateway.GRACE_S, answer.EVENTS_GRACE_S),
    "a connection": (http.CONNECT_TIMEOUT_S,),
    "an answer or event of a call in memory": (encoding.MAX_ANSWER_BYTES / 2**20,),
    "an answer that is saved": (answer.MAX_SAVED_BYTES / 2**30,),
    "a segment of `segments()`": (output.MAX_SEGMENT_BYTES / 2**20,),
    "parts of a form": (payload.MAX_PARTS,),
    "an error's text": (refusals.MAX_DETAIL,),
    "time for a list": (discovery.TIMEOUT_S, discovery.MAX_LIST_BYTES / 2**20),
    "terms of a free capability are used again": (terms.TERMS_TTL_S,),
    "a remote signer's answer": (
        remote.TIMEOUT_S,
        remote.ATTEMPTS,
        remote.MAX_ANSWER_BYTES / 2**20,
    ),
    "`get_orchestrator_info`": (orchestrator_info.TIMEOUT_S, grpc.MAX_ANSWER_BYTES / 2**20),
    "tickets in one payment": (tickets.MAX_TICKETS,),
    "a job is paid for": (payments.ADMITTED_S,),
    "nothing is paid while credit is enough for": (payments.COVERED_S,),
    "a debt paid at a time": (payments.ARREARS_S,),
    "a stream pays every": (payments.PAY_EVERY_S, lv2v.PAY_EVERY_S),
    "a payment's terms are fetched anew": (signer_account.MAX_REFRESHES,),
    "RTMP: a connection": (rtmp_process.__dict__["_CONNECT_S"],),
    "RTMP: a stream that nobody publishes yet": (rtmp.PATIENCE_S,),
    "remembered": (
        failover.MAX_NODES,
        discovery.MAX_LISTS,
        finder.MAX_REMEMBERED,
        signing.KEPT_SIGNATURES,
        trust.MAX_HOSTS,
    ),
    "a stream's stop": (direct.STOP_TIMEOUT_S, gateway.STOP_TIMEOUT_S),
    "the stop of all streams when a client closes": (STOP_S,),
    "no further orchestrator is tried after": (failover.DEADLINE,),
    "coded media that waits for `frames()`": (pipe.LIMIT_BYTES / 2**20,),
}
"""What the table of limits says of constants."""

OWNERS = {
    "Finder": Finder,
    "DiscoveryURL": DiscoveryURL,
    "RemoteSigner": RemoteSigner,
    "TicketPayments": TicketPayments,
    "StreamSettings": StreamSettings,
    "Reconnect": Reconnect,
    "Transfer": Transfer,
    "FramePublisher": FramePublisher,
}


def test_the_limits_are_those_of_the_code():
    table = {row[0]: row[1:] for row in rows("Limits and defaults")[1:]}
    said = {
        what: [float(number.replace(",", "")) for number in re.findall(r"\d[\d,.]*", default)]
        for what, (default, _) in table.items()
    }
    for what, numbers in NUMBERS.items():
        assert set(numbers) <= set(said[what]), what
    explained: dict[str, set[str]] = {}
    for what, (_, where) in table.items():
        for owner, arguments in re.findall(r"(\w+)\(([\w=, ]+)\)", where):
            names = re.findall(r"(\w+)=", arguments)
            parameters = inspect.signature(OWNERS[owner]).parameters
            assert {parameters[name].default for name in names} <= set(said[what]), what
            explained.setdefault(owner, set()).update(names)
    for owner in (StreamSettings, Reconnect):
        untold = {"settle_s"} if owner is StreamSettings else set()
        assert explained[owner.__name__] | untold >= {one.name for one in fields(owner)} - {
            "keep_alive_s"
        }
    defaults = inspect.signature(Client).parameters
    assert said["sign of life on the control channel"] == [defaults["keep_alive_s"].default]
    assert said["a call's time for the runner"] == [
        inspect.signature(Client.call).parameters["timeout_s"].default
    ]
    assert said["a stream's time to start"] == [
        inspect.signature(Client.start_stream).parameters["timeout_s"].default
    ]
