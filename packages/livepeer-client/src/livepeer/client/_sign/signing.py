"""Who answers for a job: the signer protocol, and a signer with a key of its own.

The rule of both schemes (go-livepeer `core/broadcaster.go`, `crypto/verify.go`): the message is
hashed with Keccak-256, and the 32 bytes of the hash are signed as an EIP-191 personal message.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from livepeer.client._net.memo import Memo
from livepeer.client._wire.encoding import encode_header
from livepeer.client._wire.jobs import Job, Scheme, SignedJob
from livepeer.client.errors import ConfigError, InvalidKey

from .eth import keccak256, load_account

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eth_account.signers.local import LocalAccount

SCHEMES: Final[tuple[Scheme, ...]] = ("legacy", "v1")

KEPT_SIGNATURES: Final = 256
"""So many signatures are kept: equal messages have equal ones, and one takes milliseconds."""

HASH_BYTES: Final = 32


def message_of(job: Job, scheme: Scheme) -> bytes:
    """What of a job is signed."""
    return job.legacy_message() if scheme == "legacy" else job.v1_message()


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


@runtime_checkable
class Signer(Protocol):
    """Signs jobs; the key may be here (`LocalSigner`) or with a service (`RemoteSigner`)."""

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """What it can sign by, the first choice first; never empty."""
        ...

    async def sign_job(self, job: Job, scheme: Scheme | None = None) -> SignedJob:
        """Sign one job, by the first choice of scheme if none is named.

        Raises:
            SignerError: A remote signer did not. Then nothing may be sent.
        """
        ...

    async def token_credentials(self) -> TokenCredentials:
        """The address that answers for the jobs, with what proves it.

        Raises:
            SignerError: A remote signer does not tell.
        """
        ...


class LocalSigner:
    """Signs with a private key in this process. Needs the extra `eth`.

    Make one with `LocalSigner.ephemeral` or `LocalSigner.from_key`. The key is in no
    representation, log or error text.

    Args:
        account: The key.
        scheme: The only scheme to sign by. By default both, where an orchestrator that does not
            take the one is sent the other.
    """

    def __init__(self, account: LocalAccount, *, scheme: Scheme | None = None) -> None:
        if scheme is not None and scheme not in SCHEMES:
            raise ConfigError(f"`scheme` must be 'legacy' or 'v1', not {scheme!r}")
        self._account = account
        self._address = str(account.address)
        self._schemes = SCHEMES if scheme is None else (scheme,)
        self._signatures: Memo[bytes, str] = Memo(KEPT_SIGNATURES)
        self._credentials: Memo[str, TokenCredentials] = Memo(1)

    @classmethod
    def ephemeral(cls, *, scheme: Scheme | None = None) -> LocalSigner:
        """A signer with a fresh random key, which is enough for whatever costs nothing.

        Raises:
            MissingExtra: The extra `eth` is not installed.
        """
        return cls(load_account().create(), scheme=scheme)

    @classmethod
    def from_key(cls, key: str, *, scheme: Scheme | None = None) -> LocalSigner:
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
            # must not be chained. Nor does the key stay in a frame that a traceback keeps.
            del key
            raise InvalidKey("the private key must be 64 hexadecimal digits of a valid key")
        return cls(account, scheme=scheme)

    @classmethod
    def from_file(cls, path: Path | str, *, scheme: Scheme | None = None) -> LocalSigner:
        """A signer with the key that a file holds, and nothing else; see `from_key`.

        Raises:
            FileNotFoundError: There is no such file.
            OSError: It cannot be read.
            InvalidKey: It holds no private key. No part of it is in the text.
            MissingExtra: The extra `eth` is not installed.
        """
        try:
            text = [Path(path).read_text(encoding="ascii", errors="replace").strip()]
        except FileNotFoundError:
            raise FileNotFoundError(
                f"there is no key file {path}: write the 64 hexadecimal digits of a private key"
                " into it"
            ) from None
        try:
            return cls.from_key(text.pop(), scheme=scheme)
        except InvalidKey as error:
            raise InvalidKey(f"{path}: {error}") from None

    @property
    def address(self) -> str:
        """The address of the key, in EIP-55 letter case."""
        return self._address

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """What it signs by, the first choice first."""
        return self._schemes

    async def sign_job(self, job: Job, scheme: Scheme | None = None) -> SignedJob:
        """Sign one job, by the first choice of scheme if none is named."""
        scheme = scheme or self._schemes[0]
        message = message_of(job, scheme)
        signature = await self._signatures.get(message, lambda: self._signed(message))
        return SignedJob(job=job, sender=self._address, signature=signature, scheme=scheme)

    async def token_credentials(self) -> TokenCredentials:
        """The address, signed; computed once."""
        return await self._credentials.get(self._address, self._certified)

    async def sign_hashes(self, hashes: Sequence[bytes]) -> list[bytes]:
        """Sign hashes of 32 bytes, as they are, each as an EIP-191 personal message.

        Payment tickets are signed so (go-livepeer `pm/sender.go`).

        Returns:
            A signature of 65 bytes for each: r, s, and 27 or 28.

        Raises:
            ValueError: A hash is not of 32 bytes.
        """
        if any(len(each) != HASH_BYTES for each in hashes):
            raise ValueError(f"a hash has {HASH_BYTES} bytes")
        # In a thread: without a native library a signature takes milliseconds.
        return await asyncio.to_thread(lambda: [self._sign(each) for each in hashes])

    def __repr__(self) -> str:
        return f"LocalSigner(address={self._address!r}, schemes={self._schemes!r})"

    async def _certified(self) -> TokenCredentials:
        signature = await self._signed(self._address.encode())
        return TokenCredentials(address=self._address, signature=signature)

    async def _signed(self, message: bytes) -> str:
        (signature,) = await self.sign_hashes([keccak256(message)])
        return "0x" + signature.hex()

    def _sign(self, hashed: bytes) -> bytes:
        from eth_account.messages import encode_defunct  # lazy: heavy

        return bytes(self._account.sign_message(encode_defunct(primitive=hashed)).signature)
