"""What a runner's log looks like, and which stream or request a line is about."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, Protocol

from livepeer.runner._context import CURRENT

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

STREAM_ID: ContextVar[str | None] = ContextVar("the stream that is worked for", default=None)
"""The stream that lines of this task or thread are about.

Tasks, `asyncio.to_thread` and callbacks of a loop take it over from where they are made; a bare
thread does not, and has to be run within `contextvars.copy_context()`.
"""

REQUEST_ID: ContextVar[str | None] = ContextVar("the request that is answered", default=None)
"""The request that lines of this task or thread are about, taken over as `STREAM_ID` is. That one
wins: a stream is longer than the request that begins it."""

_MAX_ID = 64


class LogSettings(Protocol):
    """The part of `Settings` that is read here."""

    @property
    def log_format(self) -> Literal["text", "json", "auto"]:
        """What lines look like."""
        ...

    @property
    def log_level(self) -> str:
        """The least severe level that is logged, in lower case."""
        ...

    @property
    def model_fields_set(self) -> set[str]:
        """The settings that were given, by argument or environment."""
        ...


@contextmanager
def logged_as(stream_id: str) -> Generator[None, None, None]:
    """Let what is logged inside, and in tasks made inside, be about a stream."""
    token = STREAM_ID.set(stream_id)
    try:
        yield
    finally:
        STREAM_ID.reset(token)


def configure(settings: LogSettings) -> None:
    """Set up the log of this process on standard error; for programs, not for libraries.

    All goes through the root logger, uvicorn's lines too. A program that set it up before keeps
    its own handlers and level, unless the format or the level was given as a setting: then the
    format replaces the handlers that write to the console, and the level the root's. Whatever
    the handlers are, each record gets the attributes `stream_id` (None outside of a stream) and
    `request_id` (None outside of a request).
    Calling it again replaces what it did before.
    """
    root = logging.getLogger()
    given = settings.model_fields_set
    ours = [handler for handler in root.handlers if isinstance(handler, _Console)]
    foreign = len(root.handlers) > len(ours)
    if not foreign or "log_format" in given:
        for handler in [*ours, *_consoles(root)]:
            root.removeHandler(handler)
        root.addHandler(_console(settings.log_format))
    if not foreign or "log_level" in given:
        root.setLevel(settings.log_level.upper())
    for handler in root.handlers:
        handler.addFilter(_mark)


class _Console(logging.StreamHandler["_TextStream"]):
    """A handler that was made here."""


class _TextStream(Protocol):
    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


class _TextFormatter(logging.Formatter):
    """One line of text, with the stream or the request in brackets."""

    def usesTime(self) -> bool:  # noqa: N802 - logging's name
        return True

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        stream_id = getattr(record, "stream_id", None)
        about = _shown(stream_id or getattr(record, "request_id", None))
        return f"{record.asctime} {record.levelname} {record.name}:{about} {record.message}"


def _shown(stream_id: object) -> str:
    if stream_id is None:
        return ""
    text = str(stream_id)[:_MAX_ID]
    # The network chose it: it must not begin a line of its own.
    return f" [{text if text.isprintable() else ascii(text)}]"


def _console(log_format: Literal["text", "json", "auto"]) -> _Console:
    handler = _Console(sys.stderr)
    is_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    handler.setFormatter(_json_formatter() if is_json else _TextFormatter())
    if is_json:
        logging.captureWarnings(True)
    return handler


def _json_formatter() -> logging.Formatter:
    from pythonjsonlogger.json import JsonFormatter  # lazy: most runners log text

    class Formatter(JsonFormatter):
        def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
            # Unlike a stream's, it is there only where there is one: most lines have none.
            if log_data.get("request_id", "") is None:
                del log_data["request_id"]
            return super().process_log_record(log_data)

    return Formatter(
        "%(levelname)s %(name)s %(message)s",
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp="timestamp",
    )


def _consoles(root: logging.Logger) -> Iterator[logging.Handler]:
    """The handlers that others let write to the console."""
    for handler in root.handlers:
        stream: object = getattr(handler, "stream", None)
        if type(handler) is logging.StreamHandler and stream in (sys.stderr, sys.stdout):
            yield handler


def _mark(record: logging.LogRecord) -> bool:
    """Give a record its stream and its request; one that names its own keeps it."""
    if not hasattr(record, "stream_id"):
        record.stream_id = STREAM_ID.get()
    if not hasattr(record, "request_id"):
        record.request_id = None if getattr(record, "stream_id", None) else _request_id()
    return True


def _request_id() -> str | None:
    call = CURRENT.get()
    return REQUEST_ID.get() if call is None else call.request_id
