"""The model process of live video: it shares memory for frames with this one."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from livepeer.runner._isolation.process import ModelProcess
from livepeer.runner._live.isolated.arena import Arena
from livepeer.runner._live.isolated.messages import CODEC, Message

if TYPE_CHECKING:
    from collections.abc import Callable

_MODULE: Final = "livepeer.runner._live.isolated.worker"


class FrameProcess(ModelProcess[Message]):
    """A model process, and an arena for frames in each direction.

    Args:
        slots: How many frames may be under way in each direction.
        received: As `ModelProcess` has it.
        broken: As `ModelProcess` has it.
        ended: As `ModelProcess` has it.
    """

    def __init__(
        self,
        slots: int,
        received: Callable[[Message], None],
        broken: Callable[[str], None],
        ended: Callable[[int], None],
    ) -> None:
        with contextlib.ExitStack() as stack:
            there, back = Arena.create(slots), Arena.create(slots)
            stack.callback(os.close, there)
            stack.callback(os.close, back)
            self.outbound = Arena(there, slots)
            self.inbound = Arena(back, slots)
            super().__init__(_MODULE, CODEC, received, broken, ended, fds=(there, back))

    def _let_go(self) -> None:
        self.outbound.close()
        self.inbound.close()
