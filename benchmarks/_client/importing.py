"""What an import brings, and the first call: `python -m _client.importing NAME URL`."""

from __future__ import annotations

import os
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING

from _face.processes import resident_of
from _face.roles import cpu_seconds, say

if TYPE_CHECKING:
    from collections.abc import Callable

MODULES = {"ours": "livepeer.client", "floor": "aiohttp", "gateway": "livepeer_gateway"}


def _ours(url: str) -> None:
    from livepeer.client import SyncClient

    with SyncClient(gateway=url) as client:
        assert client.call("echo", {"a": 1}) == {"a": 1}


def _floor(url: str) -> None:
    import asyncio

    import aiohttp

    async def post() -> object:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/process/request/predict", json={"a": 1}) as response,
        ):
            return await response.json(content_type=None)

    assert asyncio.run(post()) == {"a": 1}


def _gateway(url: str) -> None:
    from livepeer_gateway.byoc import ByocJobRequest, submit_byoc_job

    request = ByocJobRequest("predict", {"a": 1}, parameters={"callers": 1})
    assert submit_byoc_job(request, orch_url=url).data == {"a": 1}


CALLS: dict[str, Callable[[str], None]] = {"ours": _ours, "floor": _floor, "gateway": _gateway}


def main(name: str, url: str) -> None:
    before, resident = set(sys.modules), resident_of(os.getpid())
    said: dict[str, float] = {}
    cpu, wall = cpu_seconds(), time.perf_counter()
    import_module(MODULES[name])
    said |= {"cpu": cpu_seconds() - cpu, "wall": time.perf_counter() - wall}
    said["modules"] = len(set(sys.modules) - before)
    said["resident"] = resident_of(os.getpid()) - resident
    CALLS[name](url)
    said |= {"call_cpu": cpu_seconds() - cpu, "call_wall": time.perf_counter() - wall}
    said["call_modules"] = len(set(sys.modules) - before)
    said["call_resident"] = resident_of(os.getpid()) - resident
    say(said)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
