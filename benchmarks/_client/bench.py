"""The processes of all laps, and what one lap found."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, cast
from urllib.request import urlopen

from _face.processes import Child, Failed, number

from .load import ASYNC, DIRECT, Load
from .setup import FLOOR, GATEWAY, JSON, OURS

if TYPE_CHECKING:
    from collections.abc import Generator

    from .setup import Setup

LAP_S = 600.0
REQUEST_S = 10.0
# What aiohttp makes of the request itself.
OWN_HEADERS = {"Host", "Content-Length"}


@dataclass(frozen=True)
class Lap:
    """What one part of a lap found; see `load.Part`."""

    right: int
    faults: list[str]
    cpu: float
    wall: float
    resident: float
    blocks: float


class Bench:
    """The node that all call. A context manager."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._stack = ExitStack()
        self._headers: dict[str, dict[str, str]] = {}

    def __enter__(self) -> Self:
        self._node = self._stack.enter_context(self.setup.node())
        self.url = str(self._node.hear()["url"])
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def subject(self, name: str) -> Generator[Child]:
        """A process of a subject that is ready."""
        with self.setup.subject(name) as child:
            child.hear()
            yield child

    def load(self, way: str, face: str, callers: int, *parts: int, crowd: int = 0) -> Load:
        """A lap of one payload, or of as many as there are in a crowd that calls at once."""
        load = Load(self.url, way, face, callers, parts, headers=self._headers_of(way))
        return replace(load, route=f"hold/{crowd}", payloads=crowd) if crowd else load

    def lap(self, child: Child, load: Load) -> list[Lap]:
        """Have a subject make the calls of a lap; what each part found."""
        child.tell(load.plain())
        parts = cast("list[dict[str, object]]", child.hear(LAP_S)["parts"])
        return [
            Lap(
                right=int(number(part, "right")),
                faults=cast("list[str]", part["faults"]),
                cpu=number(part, "cpu"),
                wall=number(part, "wall"),
                resident=number(part, "resident"),
                blocks=number(part, "blocks"),
            )
            for part in parts
        ]

    def clean(self, child: Child, load: Load) -> list[Lap]:
        """The same, where every answer has to be the right one.

        Raises:
            Failed: One was not.
        """
        laps = self.lap(child, load)
        for lap, calls in zip(laps, load.parts, strict=True):
            if lap.right != calls:
                raise Failed(f"{calls - lap.right} of {calls} calls failed: {lap.faults}")
        return laps

    def _headers_of(self, way: str) -> dict[str, str]:
        """The headers of our own request, which the floor sends as well."""
        if way not in self._headers:
            with self.subject(OURS) as child:
                self.clean(child, Load(self.url, way))
            with urlopen(f"{self.url}/seen", timeout=REQUEST_S) as answer:
                seen = cast("dict[str, str]", json.loads(answer.read()))
            kept = {name: value for name, value in seen.items() if name not in OWN_HEADERS}
            self._headers[way] = kept
        return self._headers[way]


def unable(setup: Setup, way: str, face: str) -> dict[str, str]:
    """Who cannot make such calls, and why."""
    found = dict(setup.absent)
    if GATEWAY not in found and face == ASYNC:
        found[GATEWAY] = "it has no BYOC call for a loop; its one blocks the thread"
    elif GATEWAY not in found and way == DIRECT:
        found[GATEWAY] = (
            "without a remote signer it sends the job unsigned, which orchestrators refuse"
        )
    return found


def able(face: str, absent: dict[str, str]) -> list[str]:
    """Everybody else; the floor with JSON has the one face."""
    names = [OURS, FLOOR, *([JSON] if face == ASYNC else []), GATEWAY]
    return [name for name in names if name not in absent]
