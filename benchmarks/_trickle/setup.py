"""Which clients and servers there are on this machine, and how their processes are started."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

from _face import setups
from _face.environments import Environment, Unavailable, environment, find_python
from _face.ports import comes_up, free_port
from _face.processes import Child, Failed, cpu_of, number
from _face.setups import needs, pinned

if TYPE_CHECKING:
    from collections.abc import Generator

    from .load import Plan

PACKAGE = "livepeer-trickle"
GATEWAY_PYTHON = "3.12"
START_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_S = 10.0

FLOOR, OURS, GATEWAY, PYTRICKLE = "floor", "ours", "gateway", "pytrickle"
GO = "go-livepeer"
BARE = "bare"
MANY = "many"


@dataclass
class Server:
    """A server that runs.

    Attributes:
        url: Its base URL.
        child: Its process.
    """

    url: str
    child: Child
    says_cpu: bool

    def cpu(self) -> float:
        """CPU seconds that it has used so far."""
        if not self.says_cpu:
            return cpu_of(self.child.pid)
        self.child.tell()
        return number(self.child.hear(), "cpu")

    @contextmanager
    def channel(self, name: str) -> Generator[str]:
        """A new channel for as long as the context lasts; its URL."""
        url = f"{self.url}/{name}"
        headers = {"Expect-Content": "video/MP2T"}
        with urlopen(Request(url, method="POST", headers=headers), timeout=REQUEST_TIMEOUT_S):
            pass
        try:
            yield url
        finally:
            # A client that closed it already leaves nothing to close, which is answered 400.
            with suppress(OSError):
                urlopen(Request(url, method="DELETE"), timeout=REQUEST_TIMEOUT_S).close()


@dataclass
class Setup(setups.Setup):
    """What can be measured here.

    Attributes:
        uvloop: An interpreter with it, where it can be had.
        go_server: go-livepeer's trickle server, where there is one.
    """

    uvloop: Environment | None = None
    go_server: Path | None = None

    @property
    def clients(self) -> list[str]:
        """The clients that there are: the floor, ours, then the peers."""
        return list(self.environments)

    @property
    def peers(self) -> list[str]:
        """The clients that are neither ours nor the floor."""
        return [name for name in self.environments if name not in (FLOOR, OURS)]

    @property
    def servers(self) -> list[str]:
        """The servers that there are."""
        return [OURS, *([GO] if self.go_server is not None else [])]

    def role(self, client: str, role: str, *, uvloop: bool = False) -> Child:
        """A process that plays a role of a client."""
        module = ["_trickle.role", client, role, *(["--uvloop"] if uvloop else [])]
        return self._run(module, self._environment(client, uvloop=uvloop))

    @contextmanager
    def serving(self, server: str, plan: Plan, *, uvloop: bool = False) -> Generator[Server]:
        """A server in a process of its own: ours, `bare`, or go-livepeer's."""
        if server == GO:
            with self._go() as serving:
                yield serving
            return
        module = ["_trickle.server", server, json.dumps(plan.plain())]
        module += ["--uvloop"] if uvloop else []
        with self._run(module, self._environment(OURS, uvloop=uvloop)) as child:
            yield Server(str(child.hear()["url"]), child, says_cpu=True)

    @contextmanager
    def _go(self) -> Generator[Server]:
        port = free_port()
        address = f"127.0.0.1:{port}"
        with Child([str(self.go_server), "-addr", address, "-auto"], {}) as child:
            if not comes_up(child, port, START_TIMEOUT_S):
                raise Failed(f"{self.go_server} does not answer on {address}")
            yield Server(f"http://{address}", child, says_cpu=False)

    def _environment(self, client: str, *, uvloop: bool) -> Environment:
        if not uvloop:
            return self.environments.get(client, self.environments[FLOOR])
        assert self.uvloop is not None
        return self.uvloop

    def _run(self, module: list[str], where: Environment) -> Child:
        return Child([str(where.python), "-m", *module], self.variables(PACKAGE))


def make(cache: Path, python: str | None, go_server: Path | None) -> Setup:
    """Make what can be made: all clients on the same version of Python and of aiohttp.

    Raises:
        Unavailable: Not even our own environment can be made.
    """
    [aiohttp] = pinned("aiohttp")
    setup = Setup(cache, go_server=go_server)
    chosen = _choose(python, setup.absent)
    own = [aiohttp, *(need for need in needs(PACKAGE) if not need.startswith("aiohttp"))]
    base = environment(cache, "trickle", chosen, own)
    setup.environments |= {FLOOR: base, OURS: base}
    if GATEWAY not in setup.absent:
        with setup.allowed(GATEWAY):
            needed = ["livepeer-gateway==1.0.0", aiohttp]
            setup.environments[GATEWAY] = environment(cache, GATEWAY, chosen, needed)
    with setup.allowed(PYTRICKLE):
        setup.environments[PYTRICKLE] = environment(
            cache, PYTRICKLE, chosen, [aiohttp], alone=["pytrickle==0.1.6"]
        )
    with setup.allowed("uvloop"):
        setup.uvloop = environment(cache, "uvloop", chosen, [*own, "uvloop==0.23.0"])
    return setup


def _choose(python: str | None, absent: dict[str, str]) -> Path:
    """The interpreter for all: the gateway's, unless another is asked for or it is not there."""
    try:
        chosen = find_python(python or GATEWAY_PYTHON)
    except Unavailable as error:
        if python is not None:
            raise
        absent[GATEWAY] = str(error)
        return Path(sys.executable)
    if python is not None and _older(python, GATEWAY_PYTHON):
        absent[GATEWAY] = f"needs Python {GATEWAY_PYTHON}"
    return chosen


def _older(one: str, other: str) -> bool:
    return [int(part) for part in one.split(".")] < [int(part) for part in other.split(".")]
