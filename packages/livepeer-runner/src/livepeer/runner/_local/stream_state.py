"""What the gateway knows of one stream."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .status import DataRing

if TYPE_CHECKING:
    from .gateway_jobs import ClientJob
    from .offers import Offer, Orchestrators
    from .status import Statuses


@dataclass(slots=True, eq=False)
class StreamState:
    """A stream that a client started, for those who serve it and those who ask after it.

    `start_body` is what every orchestrator gets at the start, `params` the last update.
    """

    id: str
    job: ClientJob
    start_body: bytes
    offers: list[Offer]
    orchestrators: Orchestrators
    statuses: Statuses
    request_id: str = field(default_factory=lambda: secrets.token_hex(4))
    params: bytes | None = None
    current: str = ""
    data: DataRing | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        if self.job.parameters.data_output:
            self.data = DataRing()
