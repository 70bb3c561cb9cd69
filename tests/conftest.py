"""Options of the cross-package tests: the network that they run against."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("network", "the network of tests/integration (default: a local one)")
    group.addoption("--orchestrator-url", help="base URL of an orchestrator that is up")
    group.addoption("--gateway-url", help="base URL of a gateway that knows that orchestrator")
    group.addoption("--orch-secret", default="orch-secret", help="the orchestrator's secret")
    group.addoption("--insecure", action="store_true", help="take any certificate")


def pytest_configure(config: pytest.Config) -> None:
    for marker in (
        "gateway: needs --gateway-url when --orchestrator-url is given",
        "signed: runs against a local network that checks signatures, too",
    ):
        config.addinivalue_line("markers", marker)
