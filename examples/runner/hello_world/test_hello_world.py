"""hello_world as its README says, in a process of its own, over real sockets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PIPELINE = Path(__file__).with_name("pipeline.py")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """`python pipeline.py`, stopped as Ctrl-C stops it; it must end well."""
    environment = {**os.environ, "LIVEPEER_HOST": "127.0.0.1", "LIVEPEER_PORT": "0"}
    with subprocess.Popen(
        [sys.executable, str(PIPELINE)], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        try:
            url = next(word for word in line.split() if word.startswith("http://"))
            ready(url)
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0


def fetch(url: str, body: bytes | None = None) -> tuple[int, object]:
    try:
        with urllib.request.urlopen(url, data=body, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def ready(url: str) -> None:
    """Wait until the runner has set up; it answers before."""
    limit = time.monotonic() + 20
    while True:
        _, health = fetch(f"{url}/health")
        assert isinstance(health, dict)
        if health["status"] != "LOADING":
            return
        assert time.monotonic() < limit, "it is still loading"
        time.sleep(0.05)


def test_health(url: str):
    status, answer = fetch(f"{url}/health")
    assert status == 200
    assert isinstance(answer, dict)
    assert answer["status"] == "OK"


def test_greeting(url: str):
    assert fetch(f"{url}/predict", b'{"name": "Ada"}') == (200, "Hello, Ada!")
    assert fetch(f"{url}/predict", b"{}") == (200, "Hello, World!")


@pytest.mark.parametrize(
    ("body", "status"), [(b'{"name": 5}', 422), (b'{"nam": "Ada"}', 422), (b"{", 400)]
)
def test_wrong_calls(url: str, body: bytes, status: int):
    found, answer = fetch(f"{url}/predict", body)
    assert found == status
    assert isinstance(answer, dict)
    assert answer["detail"]
