"""What is remembered of orchestrators' certificates between one connection and the next.

An orchestrator signs its own certificate (go-livepeer `server/cert.go`), so that nobody vouches
for the first one that it shows; any other one later is news.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import ssl
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote, urlsplit

from livepeer.client.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

_log = logging.getLogger(__name__)

MAX_HOSTS: Final = 10_000
"""So many hosts are held in memory; the files of a store on disk have all of them."""


@dataclass(frozen=True, kw_only=True)
class Trusted:
    """What a host's certificate has to be.

    Attributes:
        certificate: This one, in DER; None for any that an authority vouches for.
        name: A host name that the certificate is for, which may not be the one that is dialled;
            empty where it has none, and without a certificate.
    """

    certificate: bytes | None = field(default=None, repr=False)
    name: str = ""

    @cached_property
    def fingerprint(self) -> bytes | None:
        """SHA-256 of the certificate."""
        return None if self.certificate is None else hashlib.sha256(self.certificate).digest()

    def __str__(self) -> str:
        digest = self.fingerprint
        return "one of an authority" if digest is None else f"SHA-256 {digest.hex()}"


class TrustStore:
    """Remembers the certificates of orchestrators that sign their own, one file for each host.

    Only a certificate that is seen for the first time is taken on trust. Give one store to
    several clients, or let each read the same directory. May be used from several threads.

    Args:
        path: The directory of the files, made when it is needed; None to remember in memory only.
            `TrustStore.for_user` has the directory that a client uses by default.
        repin: Take a changed certificate as well, with a warning in the log, instead of
            `CertificateChanged`. Orchestrators make a new one at each start.
    """

    def __init__(self, path: Path | str | None, *, repin: bool = False) -> None:
        self.path = None if path is None else Path(path)
        self.repin = repin
        self._known: dict[str, Trusted] = {}
        # Those of them that a file has as well.
        self._filed: set[str] = set()
        self._told = False

    @classmethod
    def for_user(cls, *, repin: bool = False) -> TrustStore:
        """The store in the user's data directory, such as `~/.local/share/livepeer/trust`."""
        from platformdirs import user_data_path  # lazy: few clients meet TLS

        return cls(user_data_path("livepeer", appauthor=False) / "trust", repin=repin)

    def known(self, host: str) -> Trusted | None:
        """What is in memory of a host, which is `name:port`; nothing is read."""
        return self._known.get(host)

    def load(self, host: str) -> Trusted | None:
        """What is remembered of a host, if need be from its file; None for a new one.

        Raises:
            ConfigError: The file is there and cannot be read. It is not passed over: that would
                be to trust whoever answers.
        """
        known = self._known.get(host)
        return self._read(host) if known is None else known

    def reload(self, host: str) -> Trusted | None:
        """What is remembered of a host by now: by its file, if it has or had one.

        Raises:
            ConfigError: As for `load`.
        """
        filed = host in self._filed
        known = self._read(host)
        if known is None and filed:
            # Forgotten by another store, or by whoever deleted the file.
            self._known.pop(host, None)
            self._filed.discard(host)
        return known or self._known.get(host)

    def _read(self, host: str) -> Trusted | None:
        file = self.file(host)
        if file is None:
            return None
        try:
            text = file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise ConfigError(f"`trust`: {file} cannot be read: {error}") from error
        known = _parsed(text, file)
        self._hold(host, known)
        self._filed.add(host)
        return known

    def remember(self, host: str, trusted: Trusted) -> None:
        """Remember a host; where its file cannot be written, with a warning and in memory only."""
        self._hold(host, trusted)
        self._file(host, trusted, _replace)

    def first(self, host: str, trusted: Trusted) -> Trusted:
        """Remember a host that is seen for the first time, and tell what counts.

        That is what another process may have remembered meanwhile.

        Raises:
            ConfigError: As for `load`.
        """
        try:
            self._file(host, trusted, _create)
        except FileExistsError:
            return self._read(host) or trusted
        self._hold(host, trusted)
        return trusted

    def _file(self, host: str, trusted: Trusted, write: Callable[[Path, str], None]) -> None:
        file = self.file(host)
        if file is None:
            return
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(file, _written(host, trusted))
        except OSError as error:
            if isinstance(error, FileExistsError) and file.exists():
                raise
            if not self._told:
                _log.warning("certificates are remembered in memory only: %s", error)
            self._told = True
        else:
            self._filed.add(host)

    def forget(self, url: str) -> bool:
        """Forget an orchestrator, by its URL or `name:port`; whether there was anything.

        The next certificate that it shows is taken on trust.

        Raises:
            OSError: Its file cannot be removed.
        """
        host = host_of(url if "//" in url else f"https://{url}")
        was = self._known.pop(host, None) is not None
        self._filed.discard(host)
        file = self.file(host)
        if file is None or not file.exists():
            return was
        file.unlink(missing_ok=True)
        return True

    def file(self, host: str) -> Path | None:
        """The file of a host; None for a store in memory."""
        return None if self.path is None else self.path / f"{quote(host, safe='.')}.json"

    def _hold(self, host: str, trusted: Trusted) -> None:
        self._known[host] = trusted
        if len(self._known) > MAX_HOSTS:
            # One at most, as this is called for one at a time; another thread may be as far.
            oldest = next(iter(self._known))
            self._known.pop(oldest, None)
            self._filed.discard(oldest)

    def __repr__(self) -> str:
        return f"TrustStore({None if self.path is None else str(self.path)!r}, repin={self.repin})"


def host_of(url: str) -> str:
    """`name:port` of an https URL, in lower case."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    return f"[{name}]:{parts.port or 443}" if ":" in name else f"{name}:{parts.port or 443}"


def _written(host: str, trusted: Trusted) -> str:
    certificate = trusted.certificate
    pem = None if certificate is None else ssl.DER_cert_to_PEM_cert(certificate)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    fields = {"host": host, "since": since, "name": trusted.name, "certificate": pem}
    return json.dumps(fields, indent=1) + "\n"


def _parsed(text: str, file: Path) -> Trusted:
    try:
        fields: object = json.loads(text)
        if not isinstance(fields, dict):
            raise TypeError("it holds no JSON object")
        known = cast("Mapping[str, object]", fields)
        pem, name = known["certificate"], known["name"]
        certificate = None if pem is None else ssl.PEM_cert_to_DER_cert(cast("str", pem))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ConfigError(f"`trust`: {file} is damaged; delete it to trust anew") from error
    return Trusted(certificate=certificate, name=str(name))


def _replace(file: Path, text: str) -> None:
    with _written_whole(file, text) as temporary:
        os.replace(temporary, file)


def _create(file: Path, text: str) -> None:
    with _written_whole(file, text) as temporary:
        # Unlike a rename, it leaves one that is there.
        os.link(temporary, file)


@contextmanager
def _written_whole(file: Path, text: str) -> Generator[Path]:
    """A file beside it, for its owner alone: another process may read it at any moment."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=".part")
    temporary = Path(name)
    try:
        with open(handle, "w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
