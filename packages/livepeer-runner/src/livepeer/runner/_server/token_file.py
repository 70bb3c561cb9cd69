"""The file in which the owner of a runner finds the bearer token of its registration."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


class TokenFile:
    """One token in one file that its owner alone can read.

    Args:
        path: Where; None for a file of this process in the runtime folder of the user.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._asked = path
        self._written: tuple[Path, str] | None = None

    def write(self, token: str) -> Path:
        """Write the token in place of what is there, and tell where.

        Raises:
            OSError: It cannot be written, or the folder by default is somebody else's.
        """
        path = (self._asked or _default()).absolute()
        # Complete from the first moment that it is seen under its name.
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(descriptor, "w", encoding="ascii") as file:  # mkstemp makes it 0600
                file.write(token + "\n")
            os.replace(name, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        self._written = path, token
        return path

    def remove(self) -> None:
        """Take the file away, unless it has another runner's token by now. Idempotent."""
        if self._written is None:
            return
        (path, token), self._written = self._written, None
        with contextlib.suppress(OSError):
            if path.read_text(encoding="ascii").strip() == token:
                path.unlink()


def _default() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    base = Path(runtime) if runtime else Path(tempfile.gettempdir())
    uid = os.getuid() if hasattr(os, "getuid") else 0
    folder = base / ("livepeer" if runtime else f"livepeer-{uid}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    # The folder of all users' temporary files is everybody's to make folders in.
    if folder.is_symlink() or (hasattr(os, "getuid") and found.st_uid != uid):
        raise PermissionError(f"{folder} belongs to somebody else")
    if found.st_mode & 0o077:
        folder.chmod(0o700)
    return folder / f"runner-{os.getpid()}.token"
