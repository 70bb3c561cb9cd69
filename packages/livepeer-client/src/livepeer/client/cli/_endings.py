"""How a command ends: one line for an error, and the exit status that the guide names."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import typer

from livepeer.client.errors import ClientError, ConfigError, InvalidJob, InvalidKey

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_NO_MISTAKES: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""What may happen to the right file."""


def failed(error: Exception, status: int) -> typer.Exit:
    """Print an error as one line on standard error; raise what is returned."""
    message = " ".join(str(error).split()) or type(error).__name__
    typer.echo(f"error: {message}", err=True)
    return typer.Exit(status)


@contextmanager
def outcome(tell: Callable[[Exception, int], typer.Exit] = failed) -> Generator[None]:
    """End the command by what is raised: 2 for a mistake in it, 1 for a failure.

    Args:
        tell: Prints an error, and returns what ends the command with a status.
    """
    try:
        yield
    except (ConfigError, InvalidJob, InvalidKey) as error:
        raise tell(error, 2) from None
    except ClientError as error:
        raise tell(error, 1) from None
    except BrokenPipeError:
        # Whoever read has enough.
        raise typer.Exit(0) from None
    except FileNotFoundError as error:
        raise tell(error, 2) from None
    except OSError as error:
        # Without a name it is standard output.
        mistake = error.filename is not None and error.errno not in _NO_MISTAKES
        raise tell(error, 2 if mistake else 1) from None
    except ValueError as error:
        raise tell(error, 2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    finally:
        _drop_unwritten()


def _drop_unwritten() -> None:
    """Leave nothing to the interpreter to flush: it would complain, and change the exit status."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
