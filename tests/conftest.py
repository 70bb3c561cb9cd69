"""Options of the cross-package tests: the network that they run against."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("network", "what the cross-package tests run against (default: ours)")
    group.addoption("--orchestrator-url", help="base URL of an orchestrator that is up")
    group.addoption("--gateway-url", help="base URL of a gateway that knows that orchestrator")
    group.addoption(
        "--second-orchestrator-url", help="base URL of another one that the gateway knows"
    )
    group.addoption("--orch-secret", default="orch-secret", help="the orchestrator's secret")
    group.addoption(
        "--signer-key", help="a file with the private key of a sender with funds (default: random)"
    )
    group.addoption("--charged", action="store_true", help="all it does costs something: pay")
    group.addoption("--insecure", action="store_true", help="take any certificate")
    trickle = "base URL of a trickle server for tests/conformance/trickle"
    group.addoption("--trickle-url", help=f"{trickle} (default: ours), that creates channels")
    group.addoption("--trickle-noauto-url", help=f"{trickle}, that creates none for a publisher")
    group.addoption("--trickle-changefeed-url", help=f"{trickle}, with a changefeed")
    group.addoption("--trickle-idle-url", help=f"{trickle}, that expires channels within 5 s")
    group.addoption("--trickle-settle-s", default="0.1", help="a request has reached it by then")
    group.addoption("--trickle-go-client", help="a program around go-livepeer's trickle client")


def pytest_configure(config: pytest.Config) -> None:
    for marker in (
        "gateway: needs --gateway-url when --orchestrator-url is given",
        "second: needs --second-orchestrator-url when --orchestrator-url is given",
        "paid: needs an orchestrator that charges what capabilities register",
        "signed: runs against a local network that checks signatures, too",
        "noauto: needs --trickle-noauto-url when --trickle-url is given",
        "changefeed: needs --trickle-changefeed-url when --trickle-url is given",
        "idle: needs --trickle-idle-url when --trickle-url is given",
        "fresh: needs a server that nobody has used since it was started",
    ):
        config.addinivalue_line("markers", marker)
