"""The answer to a call, printed or written to a file."""

from __future__ import annotations

import sys
import time
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, cast

import typer

from livepeer.client._answers.new_file import NewFile
from livepeer.client._wire.encoding import dump_json, load_json

from ._endings import failed
from ._json import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from livepeer.client import Answer

    from ._show_call import CallDisplay


class Printer:
    """Prints what a call came to.

    Args:
        as_json: As JSON objects, errors included.
        output: The file that the answer goes to; None for standard output.
    """

    def __init__(self, *, as_json: bool, output: Path | None) -> None:
        self._as_json = as_json
        self._output = output
        self._paid = 0

    async def print(self, answer: Answer, began: float, display: CallDisplay) -> None:
        """Read an answer and print it.

        Args:
            answer: The answer.
            began: When the call began, by the monotonic clock.
            display: Is hidden before anything is printed.

        Raises:
            ClientError: The answer did not come whole.
            ValueError: It cannot be shown on a terminal.
            OSError: The file cannot be written.
        """
        if answer.is_events:
            await self._items(answer, display)
            found: dict[str, object] = {"end": True}
        elif self._output is not None:
            size = await answer.save(self._output)
            display.hide()
            found = {"output": str(self._output), "bytes": size}
            if not self._as_json:
                kind = answer.content_type or "no type"
                typer.echo(f"{self._output}: {kind}, {size} bytes", err=True)
        else:
            body = await answer.read()
            display.hide()
            found = self._body(body, answer.content_type)
        if self._as_json:
            found |= {
                "orchestrator": answer.orchestrator_url,
                "balance": answer.balance,
                "paid": answer.paid,
                "content_type": answer.content_type,
                "seconds": round(time.monotonic() - began, 3),
            }
            typer.echo(one_line(found))

    def tell_paid(self, wei: int) -> None:
        """Tell what the call cost; with JSON it is in the object that is printed."""
        self._paid = wei
        if wei and not self._as_json:
            typer.echo(f"paid: {wei} wei", err=True)

    def failed(self, error: Exception, status: int) -> typer.Exit:
        """Print an error; raise what is returned."""
        if not self._as_json:
            return failed(error, status)
        try:
            typer.echo(one_line({"error": _error(error), "paid": self._paid}))
        except OSError:
            # Standard output takes nothing.
            return failed(error, status)
        return typer.Exit(status)

    async def _items(self, answer: Answer, display: CallDisplay) -> None:
        async with AsyncExitStack() as stack:
            file = None
            if self._output is not None:
                # As of a plain answer: the file is there when all of it came.
                file = await stack.enter_async_context(NewFile(self._output))
            items = await stack.enter_async_context(aclosing(answer.items()))
            async for item in items:
                display.hide()
                if file is not None:
                    await file.write(dump_json(item, "item").encode() + b"\n")
                else:
                    typer.echo(one_line({"item": item} if self._as_json else item))

    def _body(self, body: bytes, content_type: str) -> dict[str, object]:
        try:
            value: object = load_json(body) if body else None
        except ValueError:
            self._raw(body, content_type)
            return {}
        if not self._as_json:
            typer.echo(one_line(value))
        return {"answer": value}

    def _raw(self, body: bytes, content_type: str) -> None:
        if self._as_json or (sys.stdout is not None and sys.stdout.isatty()):
            kind = content_type or "no type"
            raise ValueError(
                f"the answer is no JSON ({kind}, {len(body)} bytes); write it with --output FILE"
            )
        if sys.stdout is None:
            return
        sys.stdout.flush()
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()


def _error(error: Exception) -> dict[str, object]:
    fields: dict[str, object] = {"type": type(error).__name__, "message": str(error)}
    for name in ("status", "retryable", "detail"):
        if hasattr(error, name):
            fields[name] = cast("object", getattr(error, name))
    causes = cast("tuple[Exception, ...]", getattr(error, "causes", ()))
    if causes:
        fields["causes"] = [_error(cause) for cause in causes]
    return fields
