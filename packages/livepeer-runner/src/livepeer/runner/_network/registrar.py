"""How a runner makes itself known, whatever the network."""

from __future__ import annotations

from typing import Protocol


class Registrar(Protocol):
    """Announces a runner that is ready, and withdraws it."""

    @property
    def token(self) -> str | None:
        """The bearer token that the network's requests carry; None until it knows one."""
        ...

    async def announce(self) -> None:
        """Make the runner known, with retries.

        Raises:
            RegistrationError: The network refused, or could not be reached for too long.
        """
        ...

    async def withdraw(self) -> None:
        """Take the runner back; does nothing where nothing was announced. Bounded in time.

        Raises:
            RegistrationError: The network could not be told.
        """
        ...
