"""The servers that the cases run against: ours, or those that the options name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from livepeer.trickle import TrickleServer

from .scripted import Play, ScriptedServer
from .target import Server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

TICK_S = 0.1
"""How often our server says that it waits for a publisher's first byte; go-livepeer's 10 s."""

SETTLE_S = 0.05
"""Our server runs on the test's own loop, and what was sent has reached it after one turn."""

Serve = Callable[..., Awaitable[Server]]
Script = Callable[..., Awaitable[ScriptedServer]]

_OURS_ALONE = ("test_server_ours.py",)
_GO_CLIENT = ("test_go_client.py",)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what says nothing about a given server, or needs a program that is not given."""
    if collection_path.name in _OURS_ALONE and config.getoption("--trickle-url"):
        return True
    if collection_path.name in _GO_CLIENT and not config.getoption("--trickle-go-client"):
        return True
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Two rounds of another server's first-byte wait are 20 s; two of ours are not slow."""
    if config.getoption("--trickle-url"):
        for item in items:
            if item.name.startswith("test_s50_"):
                item.add_marker(pytest.mark.slow)


@asynccontextmanager
async def our_server(**settings: Any) -> AsyncGenerator[str]:
    async with TrickleServer(**settings).listening(base="/ai/trickle/") as url:
        yield url


@asynccontextmanager
async def _target(
    request: pytest.FixtureRequest, option: str, **settings: Any
) -> AsyncGenerator[Server]:
    given = request.config.getoption(option)
    if given:
        settle_s = float(request.config.getoption("--trickle-settle-s"))
        async with Server(str(given), settle_s=settle_s) as server:
            yield server
        return
    if request.config.getoption("--trickle-url"):
        kind = option.removeprefix("--trickle-").removesuffix("-url")
        pytest.fail(f"{option} is not given; leave these out with: -m 'not {kind}'")
    async with our_server(**settings) as url, Server(url, settle_s=SETTLE_S) as server:
        yield server


@pytest.fixture
async def ours() -> AsyncGenerator[Serve]:
    """Serve with our server, whatever the options name, as the keywords say."""
    async with AsyncExitStack() as stack:

        async def serve(**settings: Any) -> Server:
            url = await stack.enter_async_context(our_server(**settings))
            return await stack.enter_async_context(Server(url, settle_s=SETTLE_S))

        yield serve


@pytest.fixture
async def scripted() -> AsyncGenerator[Script]:
    """Serve a script for a client under test."""
    async with AsyncExitStack() as stack:

        async def serve(play: Play, **options: Any) -> ScriptedServer:
            return await stack.enter_async_context(ScriptedServer(play, **options))

        yield serve


@pytest.fixture
async def server(request: pytest.FixtureRequest) -> AsyncGenerator[Server]:
    """A server that creates channels by their first segment."""
    async with _target(request, "--trickle-url", autocreate=True) as server:
        yield server


@pytest.fixture
async def ticking(request: pytest.FixtureRequest) -> AsyncGenerator[Server]:
    """A server that often says that it waits for a publisher's first byte, if it is ours."""
    settings = {"autocreate": True, "first_byte_tick_s": TICK_S}
    async with _target(request, "--trickle-url", **settings) as server:
        yield server


@pytest.fixture
async def noauto(request: pytest.FixtureRequest) -> AsyncGenerator[Server]:
    """A server that creates no channel for a publisher."""
    async with _target(request, "--trickle-noauto-url") as server:
        yield server


@pytest.fixture
async def idle(request: pytest.FixtureRequest) -> AsyncGenerator[Server]:
    """A server that soon expires idle channels."""
    settings = {"autocreate": True, "idle_timeout_s": 0.3, "sweep_interval_s": 0.05}
    async with _target(request, "--trickle-idle-url", **settings) as server:
        yield server


@pytest.fixture
async def changefeed(request: pytest.FixtureRequest) -> AsyncGenerator[Server]:
    """A server that tells of its channels."""
    settings = {"autocreate": True, "changefeed": True}
    async with _target(request, "--trickle-changefeed-url", **settings) as server:
        yield server
