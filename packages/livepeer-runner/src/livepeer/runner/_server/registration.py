"""Making a runner known, and what a person has of it: its state, and the token in a file."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, TypeAlias

from livepeer.runner.errors import RegistrationError

if TYPE_CHECKING:
    from livepeer.runner._network.registrar import Registrar
    from livepeer.runner._server.token_file import TokenFile

RegistrationState: TypeAlias = Literal["none", "pending", "registered", "failed", "withdrawn"]
"""`none` where there is nobody to know us, `failed` when we gave up, `withdrawn` at the end."""

_log = logging.getLogger(__name__)


class Registration:
    """The registration of one runner, which serves whatever becomes of it.

    Args:
        registrar: What knows the network; None where there is none.
        token_file: Where its token is written for the owner; None for nowhere.
    """

    def __init__(self, registrar: Registrar | None, token_file: TokenFile | None = None) -> None:
        self._registrar = registrar
        self._token_file = token_file
        self.state: RegistrationState = "none" if registrar is None else "pending"
        self.failure: Exception | None = None
        """Why it failed for good."""

    @property
    def token(self) -> str | None:
        """The bearer token that callers must have; None until one is registered."""
        return None if self._registrar is None else self._registrar.token

    async def announce(self) -> None:
        """Make the runner known, with retries; a failure is kept and logged, and not raised."""
        if self._registrar is None:
            return
        try:
            await self._registrar.announce()
        except RegistrationError as exc:
            self.state, self.failure = "failed", exc
            _log.error("not registered, and serving all the same: %s", exc)
        except Exception as exc:  # noqa: BLE001 - the task's supervisor; nobody else would hear
            self.state, self.failure = "failed", exc
            _log.error("not registered, for a fault of ours", exc_info=exc)
        else:
            self.state = "registered"
            self._show_token()

    async def withdraw(self) -> None:
        """Take the runner back, or the attempt at it; what goes wrong is logged."""
        if self._registrar is None:
            return
        try:
            await self._registrar.withdraw()
        except RegistrationError as exc:
            _log.warning("the registration was not withdrawn: %s", exc)
        if self.state != "failed":
            self.state = "withdrawn"

    def forget_token(self) -> None:
        """Take the file with the token away. Idempotent."""
        if self._token_file is not None:
            self._token_file.remove()

    def _show_token(self) -> None:
        if self._token_file is None or not self.token:
            return
        try:
            path = self._token_file.write(self.token)
        except OSError as exc:
            _log.warning("the token of the registration is in no file: %s", exc)
        else:
            _log.info("callers need the bearer token in %s", path)
