"""The golden vectors, and capabilities for the fake nodes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from livepeer.client import LocalSigner
from livepeer.client.testing import FakeCapability, RunnerReply, RunnerRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VECTORS = Path(__file__).parents[3] / "tests" / "conformance" / "vectors" / "byoc.json"


@pytest.fixture(autouse=True)
def _no_pins_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="session")
def vectors() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(VECTORS.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture
def signer() -> LocalSigner:
    return LocalSigner.from_key("11" * 32)


class Runner:
    """A capability's function that records what it gets and answers by the path."""

    def __init__(self) -> None:
        self.seen: list[RunnerRequest] = []
        self.words = "Field required"
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()

    def paths(self) -> list[str]:
        return [request.path for request in self.seen]

    def starts(self) -> dict[str, Any]:
        """What the last stream start said."""
        return next(r.json() for r in reversed(self.seen) if r.path == "/stream/start")

    async def __call__(self, request: RunnerRequest) -> RunnerReply:
        self.seen.append(request)
        match request.path:
            case "/invalid":
                fault = {"loc": ["body", "name"], "msg": self.words}
                return RunnerReply.json({"detail": [fault]}, status=422)
            case "/fail":
                return RunnerReply.json({"detail": "boom"}, status=500)
            case "/busy":
                return RunnerReply.json({"detail": "busy"}, status=503)
            case "/deny":
                return RunnerReply.json({"detail": "no"}, status=401)
            case "/slow":
                self.started.set()
                await self.go_on.wait()
            case "/image":
                return RunnerReply(body=b"\x89PNG\r\n", content_type="image/png")
            case "/stream/params" if request.json().get("bad"):
                return RunnerReply.json({"detail": [{"msg": "bad"}]}, status=422)
            case path if path.startswith("/events"):
                return RunnerReply.events(self._events(path))
            case _:
                pass
        return RunnerReply.json({"path": request.path, "got": request.body.decode()})

    async def _events(self, path: str) -> AsyncIterator[bytes]:
        for i in range(3):
            yield b'data: {"i":%d}\n\n' % i
        match path:
            case "/events/error":
                yield b'event: error\ndata: {"detail": "broke"}\n\n'
            case "/events/unpaid":
                yield b'event: insufficient balance\ndata: {"balance": 0}\n\n'
            case "/events/marker":
                yield b'data: {"t":"say [DONE] now"}\n\ndata: {"i":9}\n\n'
            case "/events/slow":
                await self.go_on.wait()
            case _:
                pass
        if path != "/events/cut":
            yield b"data: [DONE]\n\n"


@pytest.fixture
def runner() -> Runner:
    return Runner()


@pytest.fixture
def capabilities(runner: Runner) -> dict[str, FakeCapability]:
    return {"echo": FakeCapability(runner)}
