"""Who answers for a job: the signer protocol, and a signer with a key of its own.

The rule of both schemes (go-livepeer `core/broadcaster.go`, `crypto/verify.go`): the message is
hashed with Keccak-256, and the 32 bytes of the hash are signed as an EIP-191 personal message.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from ._eth import load_account
from ._wire import encode_header
from .errors import ConfigError, InvalidKey
from .jobs import Job, SignedJob

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

Scheme: TypeAlias = Literal["legacy", "v1"]
"""Which strings of a job are signed. Released orchestrators take `legacy` only, the V1 branches
`v1` only, and nothing on the wire tells which."""


@dataclass(frozen=True, kw_only=True)
class TokenCredentials:
    """An address with its signature over itself, static for a key.

    Attributes:
        address: Exactly the string that was signed; other letter case is another string.
        signature: Hexadecimal with `0x`. Kept out of the representation, as it never expires.
    """

    address: str
    signature: str = field(repr=False)

    def header(self) -> str:
        """The value of the `Livepeer-Eth-Address` header."""
        return encode_header({"addr": self.address, "sig": self.signature})


class Signer(Protocol):
    """Signs jobs; the key may be here or with a remote service."""

    @property
    def address(self) -> str:
        """The Ethereum address that answers for the jobs."""
        ...

    async def sign_job(self, job: Job) -> SignedJob:
        """Sign one job."""
        ...

    async def token_credentials(self) -> TokenCredentials:
        """What proves the address when a token is asked for."""
        ...


class LocalSigner:
    """Signs with a private key in this process. Needs the extra `eth`.

    Make one with `LocalSigner.ephemeral` or `LocalSigner.from_key`. The key is in no
    representation, log or error text.
    """

    def __init__(self, account: LocalAccount, *, scheme: Scheme = "legacy") -> None:
        if scheme not in ("legacy", "v1"):
            raise ConfigError(f"`scheme` must be 'legacy' or 'v1', not {scheme!r}")
        self._account = account
        self._scheme: Scheme = scheme
        self._credentials: TokenCredentials | None = None

    @classmethod
    def ephemeral(cls, *, scheme: Scheme = "legacy") -> LocalSigner:
        """A signer with a fresh random key, which is enough for whatever costs nothing.

        Raises:
            MissingExtra: The extra `eth` is not installed.
        """
        return cls(load_account().create(), scheme=scheme)

    @classmethod
    def from_key(cls, key: str, *, scheme: Scheme = "legacy") -> LocalSigner:
        """A signer with a given key: 64 hexadecimal digits, `0x` before them or not.

        Raises:
            InvalidKey: It is no private key. No part of it is in the text.
            MissingExtra: The extra `eth` is not installed.
        """
        library = load_account()
        try:
            account = library.from_key(key)
        except (TypeError, ValueError):
            account = None
        if account is None:
            # Raised outside of the handler: the library's own error, which may quote the key,
            # must not be chained.
            raise InvalidKey("the private key must be 64 hexadecimal digits of a valid key")
        return cls(account, scheme=scheme)

    @property
    def address(self) -> str:
        """The address of the key, in EIP-55 letter case."""
        return str(self._account.address)

    async def sign_job(self, job: Job) -> SignedJob:
        """Sign one job by the scheme of this signer."""
        message = job.legacy_message() if self._scheme == "legacy" else job.v1_message()
        # In a thread: without a native library a signature takes milliseconds.
        signature = await asyncio.to_thread(self._sign, message)
        return SignedJob(job=job, sender=self.address, signature=signature)

    async def token_credentials(self) -> TokenCredentials:
        """The address, signed; computed once."""
        if self._credentials is None:
            signature = await asyncio.to_thread(self._sign, self.address.encode())
            self._credentials = TokenCredentials(address=self.address, signature=signature)
        return self._credentials

    def __repr__(self) -> str:
        return f"LocalSigner(address={self.address!r}, scheme={self._scheme!r})"

    def _sign(self, message: bytes) -> str:
        from eth_account.messages import encode_defunct  # lazy: heavy
        from eth_utils.crypto import keccak  # lazy: heavy

        signed = self._account.sign_message(encode_defunct(primitive=keccak(message)))
        return "0x" + bytes(signed.signature).hex()
