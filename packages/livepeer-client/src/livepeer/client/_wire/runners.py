"""Live runners as lists of orchestrators name them, and which of them fit. Pure.

Source: go-livepeer `server/live_runner.go` (`DiscoverLiveRunners`). No server filters them, a full
one is listed as well, and what a list says of free slots is up to half an hour old.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .encoding import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .candidates import Candidate
    from .encoding import JSONValue


@dataclass(frozen=True, kw_only=True)
class ListedRunner:
    """A live runner, as it is listed.

    Attributes:
        orchestrator: The orchestrator that has it.
        url: Where it is called.
        app: What it runs.
        mode: `persistent` or `single-shot`; empty where that is not said.
        gpu: The name of its GPU; empty where that is not said.
        free_slots: May be negative, after its capacity was cut; None where that is not said.
        price: `price`, `currency` and `unit`; None where none is told.
    """

    orchestrator: str
    url: str
    app: str = ""
    mode: str = ""
    gpu: str = ""
    free_slots: int | None = None
    price: Mapping[str, JSONValue] | None = None

    def __repr__(self) -> str:
        return without_secrets(self)

    @property
    def can_reserve(self) -> bool:
        """Whether it has sessions; one that does not say its mode has none."""
        return self.mode == "persistent"


def find_runners(
    candidates: Iterable[Candidate], *, app: str | None = None, gpu: str | None = None
) -> list[ListedRunner]:
    """The live runners in a list that fit. Entries that are none are left out.

    Args:
        candidates: Orchestrators as they are listed.
        app: The exact name of what has to run; None for anything.
        gpu: A part of the GPU's name, in any letter case; None for any.
    """
    listed = [
        runner
        for candidate in candidates
        for entry in candidate.runners
        if (runner := _runner(candidate.url, entry)) is not None
    ]
    return [
        runner
        for runner in listed
        if app in (None, runner.app) and (gpu is None or gpu.lower() in runner.gpu.lower())
    ]


def _runner(orchestrator: str, entry: Mapping[str, JSONValue]) -> ListedRunner | None:
    url = _text(entry, "url")
    if not url:
        return None
    gpu, price = entry.get("gpu"), entry.get("price_info")
    free = entry.get("capacity_available")
    return ListedRunner(
        orchestrator=orchestrator,
        url=url,
        app=_text(entry, "app"),
        mode=_text(entry, "mode").replace("_", "-"),
        gpu=_text(gpu, "name") if isinstance(gpu, dict) else "",
        free_slots=free if isinstance(free, int) else None,
        price=price if isinstance(price, dict) else None,
    )


def _text(entry: Mapping[str, JSONValue], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""
