"""Keys, hashes and signatures of the fakes, written without the client's own.

Source: go-livepeer `crypto/verify.go`, `core/broadcaster.go`, `eth/client.go`.
"""

from __future__ import annotations

from typing import Final

from livepeer.client._sign.eth import load_account

# A signature with a larger s is another form of the same one, and refused.
_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def keccak(data: bytes) -> bytes:
    """The 32 bytes of Keccak-256."""
    load_account()
    from eth_utils.crypto import keccak as digest  # lazy: as `load_account`

    return digest(data)


def raw_address(text: str) -> bytes:
    """The 20 bytes of an address in hex, with or without `0x`; zeros for what is none."""
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raw = b""
    return raw if len(raw) == 20 else bytes(20)


def address_text(raw: bytes) -> str:
    """An address as text, with the letter case of EIP-55."""
    digits = raw.hex()
    marks = keccak(digits.encode()).hex()
    return "0x" + "".join(
        letter.upper() if int(mark, 16) > 7 else letter
        for letter, mark in zip(digits, marks, strict=False)
    )


class FakeKey:
    """An Ethereum key of a fake node.

    Attributes:
        address: In the letter case of EIP-55.
    """

    def __init__(self, secret: str | None = None) -> None:
        """`secret`: 64 hex digits; None makes a new key. Needs the extra `eth`."""
        account = load_account()
        self._account = account.create() if secret is None else account.from_key(secret)
        self.address = str(self._account.address)

    def __repr__(self) -> str:
        return f"FakeKey({self.address})"

    @property
    def raw(self) -> bytes:
        """The address in 20 bytes."""
        return raw_address(self.address)

    def sign(self, message: bytes) -> bytes:
        """Sign a message as gateways do: the Keccak hash of it, as a personal message."""
        return self.sign_digest(keccak(message))

    def sign_digest(self, data: bytes) -> bytes:
        """Sign `data` itself as a personal message, as ticket hashes and signer states are."""
        from eth_account.messages import encode_defunct  # lazy: as `load_account`

        return bytes(self._account.sign_message(encode_defunct(primitive=data)).signature)


def is_digest_signed(data: bytes, signature: bytes, address: bytes) -> bool:
    """Whether the key of `address` (20 bytes) signed `data` as a personal message.

    Refused as in Go: a length other than 65, v other than 27 or 28, and the larger s.
    """
    if len(signature) != 65 or signature[64] not in (27, 28):
        return False
    if int.from_bytes(signature[32:64]) > _HALF_ORDER:
        return False
    account = load_account()
    from eth_account.messages import encode_defunct  # lazy: as `load_account`
    from eth_keys.exceptions import BadSignature  # lazy: as `load_account`

    try:
        signer = account.recover_message(encode_defunct(primitive=data), signature=signature)
    except (BadSignature, ValueError):
        return False
    return raw_address(str(signer)) == address


def is_signed(message: bytes, signature: bytes, address: bytes) -> bool:
    """Whether the key of `address` (20 bytes) signed the Keccak hash of `message`."""
    return is_digest_signed(keccak(message), signature, address)


def hex_signature(text: str) -> bytes | None:
    """A signature in hex, read as go-livepeer does; None where that fails.

    The prefix is cut by length, not looked for.
    """
    try:
        return bytes.fromhex(text[2:] if len(text) > 130 else text)
    except ValueError:
        return None
