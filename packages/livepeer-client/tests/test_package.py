"""The package as it is imported."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from importlib.util import find_spec
from inspect import isclass, isfunction

import pytest

import livepeer.client
from livepeer.client.testing import FakeCapability, fake_gateway, fake_orchestrator

AIOHTTP = {
    "aiohappyeyeballs",
    "aiohttp",
    "aiosignal",
    "attr",
    "attrs",
    "frozenlist",
    "idna",
    "multidict",
    "propcache",
    "typing_extensions",
    "yarl",
}

REPORT = """
import json, sys
before = set(sys.modules)
{code}
loaded = set(sys.modules) - before
tops = {{name.partition(".")[0] for name in loaded}} - set(sys.stdlib_module_names)
print(json.dumps([sorted(tops), sorted(n for n in loaded if n.startswith("livepeer"))]))
"""

CALL = """
import asyncio
from livepeer.client import Client
async def main():
    async with Client(gateway={url!r}) as client:
        assert await client.call("echo", {{"a": 1}}) == {{"path": "/predict", "got": '{{"a":1}}'}}
asyncio.run(main())
"""

SYNC = """
from livepeer.client import SyncClient
with SyncClient(gateway={url!r}) as client:
    assert client.call("echo", {{"a": 1}}) == {{"path": "/predict", "got": '{{"a":1}}'}}
"""


def test_names_are_sorted_and_there() -> None:
    names = livepeer.client.__all__
    assert names == sorted(names)
    for name in names:
        value = getattr(livepeer.client, name)
        assert value.__doc__ or not (isclass(value) or isfunction(value)), name


async def loaded(code: str) -> tuple[set[str], set[str]]:
    """The foreign packages, and our own modules, that code brings in a fresh process."""
    command = [sys.executable, "-c", REPORT.format(code=code)]
    ran = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    tops, own = json.loads(ran.stdout)
    # What compiled modules bring is theirs, whatever it is called.
    return {name for name in tops if "cython" not in name}, set(own)


async def test_importing_it_loads_nothing_else() -> None:
    assert await loaded("import livepeer.client") == ({"livepeer"}, {"livepeer", "livepeer.client"})


async def test_a_client_that_is_not_open_has_loaded_nothing_foreign() -> None:
    code = "from livepeer.client import *\nClient(gateway='http://127.0.0.1:9')"
    code += "\nClient(orchestrators=['http://127.0.0.1:9'], max_price_per_s=1)"
    names = (
        "from livepeer.client import Client, SyncClient, Capability, BYOCJobRequest, ClientError"
    )
    for text in (names, code.replace("*", "Client")):
        tops, _ = await loaded(text)
        assert tops == {"livepeer"}, text


@pytest.mark.parametrize("code", [CALL, SYNC])
async def test_a_call_through_a_gateway_loads_aiohttp_and_no_more(
    code: str, capabilities: dict[str, FakeCapability]
) -> None:
    async with fake_orchestrator(capabilities) as node, fake_gateway([node]) as gateway:
        tops, own = await loaded(code.format(url=gateway.url))
    assert tops <= AIOHTTP | {"livepeer"}
    assert not {name for name in own if name.startswith("livepeer.trickle.media")}
    direct = ("_nodes.direct", "_nodes.node", "_find.finder", "_sign.eth", "media", "_proto")
    unneeded = {f"livepeer.client.{name}" for name in direct}
    assert all(find_spec(name) is not None for name in unneeded)
    assert not own & unneeded


def test_a_name_that_is_not_there() -> None:
    assert not hasattr(livepeer.client, "Nothing")
