"""A certificate as go-livepeer makes one at every start.

Source: go-livepeer `server/cert.go`.
"""

from __future__ import annotations

import datetime
import ssl
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from livepeer.client.errors import MissingExtra

_LIFE: Final = datetime.timedelta(hours=8765)


def make_certificate(host: str) -> bytes:
    """A new key and its self-signed certificate, in PEM.

    EC P-256, an authority of its own, with an empty subject and `host` as its one DNS name, also
    where that is an IP address.

    Raises:
        MissingExtra: The package `cryptography` is not installed.
    """
    if find_spec("cryptography") is None:
        raise MissingExtra("a fake with TLS needs a package more: pip install cryptography")
    from cryptography import x509  # lazy: costs 100 ms, and is no dependency of the client's
    from cryptography.hazmat.primitives import hashes, serialization  # lazy: as above
    from cryptography.hazmat.primitives.asymmetric import ec  # lazy: as above

    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    uses = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=True, **uses), critical=True
        )
        .add_extension(
            x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def use_certificate(context: ssl.SSLContext, host: str) -> None:
    """Let new connections of a server's context see a new certificate."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "node.pem"
        file.write_bytes(make_certificate(host))
        context.load_cert_chain(file)


def server_context(host: str) -> ssl.SSLContext:
    """A context with a new certificate, for HTTP/1.1 and gRPC's HTTP/2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    use_certificate(context, host)
    return context
