"""Who signed what. By default nobody looks, as in a go-livepeer node that runs off-chain.

With keys, the rule is go-livepeer's `crypto/verify.go`: a signature of 65 bytes over
`keccak256("\\x19Ethereum Signed Message:\\n32" + keccak256(message))`, low s, v 27 or 28. The
Ethereum library is imported only then.
"""

from __future__ import annotations

import secrets
from typing import Protocol

from .errors import VerifyUnavailable

_HALF_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 // 2
_PERSONAL_PREFIX = b"\x19Ethereum Signed Message:\n32"


class Verifier(Protocol):
    """Decides whether an address signed a message."""

    def accepts(self, address: bytes, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is that of the 20-byte `address` over `message`."""
        ...

    def checksum(self, address: bytes) -> str:
        """The text of a 20-byte address, as its owner signs it."""
        ...


class Signer(Protocol):
    """Signs for the gateway."""

    @property
    def address(self) -> str:
        """The address, as it is sent and signed."""
        ...

    def sign(self, message: bytes) -> str:
        """The signature in hex digits, or "" for none."""
        ...

    def sign_ticket(self, message: bytes) -> bytes:
        """The signature over a ticket, or b"" for none."""
        ...


class AnySignature:
    """Takes whatever decodes: the rule of an off-chain orchestrator."""

    def accepts(self, address: bytes, message: bytes, signature: bytes) -> bool:
        """True."""
        del address, message, signature
        return True

    def checksum(self, address: bytes) -> str:
        """The address without a checksum, which nobody looks at."""
        return "0x" + address.hex()


class NoKey:
    """Signs nothing.

    An off-chain go-livepeer gateway sends "0x", which its own orchestrator refuses; the empty
    string is what both take.
    """

    address = "0x" + "0" * 40

    def sign(self, message: bytes) -> str:
        """The empty string."""
        del message
        return ""

    def sign_ticket(self, message: bytes) -> bytes:
        """No bytes."""
        del message
        return b""


class EthereumVerifier:
    """Recovers the signer, as an on-chain orchestrator does.

    Raises:
        VerifyUnavailable: The extra `verify` is not installed.
    """

    def __init__(self) -> None:
        try:
            import eth_utils.address
            import eth_utils.crypto
            import eth_utils.exceptions
            from eth_keys import datatypes, exceptions
        except ImportError:
            raise VerifyUnavailable from None
        self._checksum = eth_utils.address.to_checksum_address
        self._keccak = eth_utils.crypto.keccak
        self._signature = datatypes.Signature
        self._errors = (exceptions.BadSignature, eth_utils.exceptions.ValidationError)

    def checksum(self, address: bytes) -> str:
        """The address with the letter case of EIP-55."""
        return self._checksum(address)

    def keccak(self, data: bytes) -> bytes:
        """The Keccak-256 hash."""
        return self._keccak(data)

    def digest(self, message: bytes) -> bytes:
        """The 32 bytes that a signature covers: personal message of the message's hash.

        The message of a ticket is what its hash is made of.
        """
        return self._keccak(_PERSONAL_PREFIX + self._keccak(message))

    def accepts(self, address: bytes, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is that of the 20-byte `address` over `message`."""
        if len(signature) != 65 or signature[64] not in (27, 28):
            return False
        if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
            return False
        try:
            signed = self._signature(signature[:64] + bytes([signature[64] - 27]))
            public = signed.recover_public_key_from_msg_hash(self.digest(message))
        except self._errors:
            return False
        return public.to_canonical_address() == address


class ThrowAwayKey:
    """A fresh random key that lives as long as the object.

    Raises:
        VerifyUnavailable: The extra `verify` is not installed.
    """

    def __init__(self) -> None:
        try:
            from eth_keys import datatypes
        except ImportError:
            raise VerifyUnavailable from None
        self._verifier = EthereumVerifier()
        self._key = datatypes.PrivateKey(secrets.token_bytes(32))
        self.address: str = self._key.public_key.to_checksum_address()

    def sign(self, message: bytes) -> str:
        """The signature over `message` as `0x` and 130 hex digits."""
        return "0x" + self.sign_ticket(message).hex()

    def sign_ticket(self, message: bytes) -> bytes:
        """The 65 bytes of the signature over `message`."""
        data = self._key.sign_msg_hash(self._verifier.digest(message)).to_bytes()
        return data[:64] + bytes([data[64] + 27])
