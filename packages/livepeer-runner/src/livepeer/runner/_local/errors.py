"""What can go wrong with the local network before it stands.

```
LocalNetworkError
├── PortInUse           (OSError)      another program listens there
├── AddressUnavailable  (OSError)      the host or port cannot be bound for another reason
├── RemoteBindRefused   (ValueError)   a host that is not loopback, without `allow_remote`
└── VerifyUnavailable   (ImportError)  `verify` or `charge` without the libraries that they need
```
"""

from __future__ import annotations


class LocalNetworkError(Exception):
    """Root of everything that the local network raises on purpose."""


class PortInUse(LocalNetworkError, OSError):
    """Another program listens on the port."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"port {port} on {host} is in use; choose another, or 0 for a free one")
        self.host = host
        self.port = port


class AddressUnavailable(LocalNetworkError, OSError):
    """The host or port cannot be bound."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {host} port {port}: {reason}")
        self.host = host
        self.port = port


class RemoteBindRefused(LocalNetworkError, ValueError):
    """The local network was asked to listen where other machines reach it."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"`host` {host!r} is not loopback: the local network is for development and tests, it "
            "takes no real payment and by default checks no signature; pass `allow_remote=True` to "
            "listen there all the same"
        )
        self.host = host


class VerifyUnavailable(LocalNetworkError, ImportError):
    """Signatures or payments cannot be checked because a library is missing."""

    def __init__(self, option: str = "verify", libraries: str = "eth-keys and eth-utils") -> None:
        super().__init__(
            f"`{option}` needs {libraries}, which are not installed; "
            "run: pip install 'livepeer-runner[verify]'"
        )
