"""One request on its way through the runner: what its answer is given, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livepeer.runner._server.headers import answer_headers

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import Message, Send


class Exchange:
    """Watches an answer go out, and gives it the headers that every answer has.

    An answer of 401 goes out as 403: only the runner itself may give one, because an orchestrator
    takes it as its order to drop the capability (go-livepeer `byoc/job_orchestrator.go`).

    Args:
        send: What sends it.
        name: What names the request.
        version: Of the runner, as `/version` answers it.
    """

    __slots__ = ("_name", "_send", "_version", "status")

    def __init__(self, send: Send, name: str, version: str) -> None:
        self._send = send
        self._name = name
        self._version = version
        self.status = 0
        """Of the answer; 0 while none has begun."""

    # No coroutine of its own: a stream comes by here with each item.
    def send(self, message: Message) -> Awaitable[None]:
        """Send one message of the answer on."""
        if message["type"] == "http.response.start":
            message = self._started(message)
        return self._send(message)

    def _started(self, message: Message) -> Message:
        status: int = message["status"]
        self.status = status = 403 if status == 401 else status
        headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
        present = {key.lower(): value for key, value in headers}
        retry_after = present.get(b"retry-after", b"")
        retry_after_s = int(retry_after[:9]) if retry_after.isdigit() else None
        for key, value in answer_headers(self._name, self._version, retry_after_s)[:2]:
            if key not in present:
                headers.append((key, value))
        return {**message, "status": status, "headers": headers}
