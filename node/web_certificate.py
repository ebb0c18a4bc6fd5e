"""A self-signed certificate for a node's pages, because browsers use keys over HTTPS only."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from node.private_file import write_private_file
from vm.primitives.errors import InvalidInput

CERTIFICATE_FILE: Final = "https.pem"
KEY_FILE: Final = "https-key.pem"
VALID_DAYS: Final = 825
"""The longest that browsers of phones take."""
MAX_NAME_LETTERS: Final = 64


def create_certificate(folder: Path, hosts: Sequence[str]) -> str:
    """Write certificate and key for `hosts` into `folder`; return the SHA-256 fingerprint.

    Existing files are refused. Raises PrivateFileError or InvalidInput.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:MAX_NAME_LETTERS])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private_file(folder / KEY_FILE, secret, replace=False)
    write_private_file(folder / CERTIFICATE_FILE, certificate.public_bytes(pem), replace=False)
    return certificate.fingerprint(hashes.SHA256()).hex()


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        pass
    try:
        return x509.DNSName(text)
    except ValueError as error:
        raise InvalidInput(
            "not a name or address of a machine", code="host", actual=text
        ) from error
