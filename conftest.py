"""What every test of the repository shares: none needs a quick machine, or a process alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

# An example has no 0.2 s of its own, but the time of its whole test.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, object, object]:
    """Half of a surrogate pair, in a log or a message, has no UTF-8, and would end the worker."""
    return _encodable((yield))


def _encodable(value: object) -> object:
    """A report's data as it is, where a character that cannot be encoded is escaped."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_encodable(item) for item in value)
    return value
