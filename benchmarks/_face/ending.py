"""The end of a benchmark's process. Apart, for subjects import what the others do, and no more."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from .environments import Unavailable
from .processes import Failed

if TYPE_CHECKING:
    from collections.abc import Callable


def exit_with(main: Callable[[], int]) -> NoReturn:
    """Run a benchmark, and end the process with its status; 1 where nothing can be said."""
    try:
        status = main()
    except (Failed, Unavailable) as error:
        sys.exit(f"nothing can be said: {error}")
    sys.exit(status)
