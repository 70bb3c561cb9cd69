"""The one place where a framework is looked for, and its absence told."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from livepeer.runner.errors import RunnerError

if TYPE_CHECKING:
    from types import ModuleType


class FrameworkMissing(RunnerError, ImportError):
    """The package that an adapter is for is not installed; the text names the extra."""


def require(name: str) -> ModuleType:
    """Import a framework, or a module of it, when its adapter is first used.

    Args:
        name: `cog`, or a module below it; the first part is the name of the extra as well.

    Raises:
        FrameworkMissing: It is not installed.
    """
    framework = name.partition(".")[0]
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != framework:
            raise  # something that the framework itself lacks
        raise FrameworkMissing(
            f"{framework} is not installed: pip install 'livepeer-runner[{framework}]'"
        ) from error
