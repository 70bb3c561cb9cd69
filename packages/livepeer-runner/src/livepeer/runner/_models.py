"""Models at build time and at run time: preparing them, and keeping off the network afterwards."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import time
import traceback
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FLAG = "--prepare-models"

_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")

# Each reads its variable once, at import.
_READ_AT_IMPORT = (
    ("huggingface_hub.constants", "HF_HUB_OFFLINE"),
    ("transformers.utils.hub", "_is_offline_mode"),  # before version 5
    ("datasets.config", "HF_HUB_OFFLINE"),
    ("datasets.config", "HF_DATASETS_OFFLINE"),  # before version 3
)


def run_prepare(
    name: str, prepare: Callable[[], Awaitable[None] | None] | None, folder: Path
) -> int:
    """Run an author's `prepare_models()` and say so; the exit status.

    Args:
        name: The pipeline, as messages name it.
        prepare: The hook, sync or async; None where there is none.
        folder: Where models go; made when it is not there.
    """
    if prepare is None:
        _say(f"{name} has no prepare_models(): nothing to prepare")
        return 0
    begun = time.monotonic()
    _say(f"preparing the models of {name} in {folder}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _complain(f"MODEL_DIR {folder} cannot be made ({error.strerror}): set it to another folder")
        return 1
    try:
        # Whatever the author's returns.
        result = cast("object", prepare())
        if inspect.isawaitable(result):
            asyncio.run(_settled(result))
        elif isinstance(result, (Generator, AsyncGenerator)):
            raise TypeError("it is a generator, of which nothing has run: take its `yield` away")
    except Exception as error:  # noqa: BLE001 - the author's hook, and the process ends with it
        _complain(f"prepare_models() of {name} failed{_place(error)}: {_words(error)}")
        return 1
    _say(f"prepared the models of {name} in {time.monotonic() - begun:.1f} s")
    return 0


@contextmanager
def online() -> Generator[None, None, None]:
    """Lift what keeps Hugging Face's libraries off the network, also where an image sets it."""
    before = {name: os.environ.pop(name) for name in _VARIABLES if name in os.environ}
    _tell_loaded(offline=False)
    try:
        yield
    finally:
        os.environ.update(before)
        if any(_is_true(value) for value in before.values()):
            _tell_loaded(offline=True)


def go_offline() -> None:
    """Keep Hugging Face's libraries off the network: what was prepared is all there is to load.

    `HF_HUB_OFFLINE` in the environment wins: with `0` everything stays as it is.
    """
    wanted = os.environ.get("HF_HUB_OFFLINE") or "1"
    os.environ["HF_HUB_OFFLINE"] = wanted
    if _is_true(wanted):
        _tell_loaded(offline=True)


def _tell_loaded(*, offline: bool) -> None:
    """Correct what libraries that are imported already have read."""
    for module_name, attribute in _READ_AT_IMPORT:
        module = sys.modules.get(module_name)
        if module is not None and hasattr(module, attribute):
            setattr(module, attribute, offline)
    # Before version 1 an HTTP session was made for one mode and kept.
    reset = getattr(sys.modules.get("huggingface_hub.utils"), "reset_sessions", None)
    if reset is not None:
        reset()


def _is_true(value: str) -> bool:
    return value.upper() in ("1", "ON", "YES", "TRUE")


async def _settled(awaitable: Awaitable[None]) -> None:
    await awaitable


def _place(error: Exception) -> str:
    """The innermost line of the author's: neither of an installed package nor of ours."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename
        and not frame.filename.startswith((sys.base_prefix, str(Path(__file__).parent), "<"))
    ]
    return f" at {own[-1].filename}:{own[-1].lineno}" if own else ""


def _words(error: Exception) -> str:
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the answer to a command


def _complain(text: str) -> None:
    print(f"error: {text}", file=sys.stderr, flush=True)  # noqa: T201 - one line, as of a command
