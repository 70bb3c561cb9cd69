"""What every model process hears and says, whatever it runs."""

from __future__ import annotations

from livepeer.runner._isolation import codec


class Close(codec.Message):
    """Run `teardown()` and end."""


class Failed(codec.Message):
    """The model cannot be used, and its process ends.

    Attributes:
        reason: For a person.
        definition: The class cannot be loaded as it is written, so that trying again is no use.
    """

    reason: str
    definition: bool = False
