"""Certificates of the embedded cluster: an authority of its own, and one server certificate for all daemons."""

from __future__ import annotations

import datetime
import ipaddress
import secrets
from pathlib import Path

from knit_core.local.errors import LocalClusterError
from knit_core.local.processes import write_private

_YEARS = 10
CA, KEYSTORE, TRUSTSTORE, PASSWORD = "ca.pem", "server.p12", "trust.p12", "password"


def make(
    folder: Path, addresses: list[str], *, rsa: bool = False, alias: str = "server", authority_name: str = "knit local"
) -> None:
    """Write the files, unless they are there.

    `ca.pem` is what clients trust (the setting `ca`); the two PKCS12 stores are for the daemons, with a random password.

    Args:
        folder: for the files.
        addresses: IP addresses of the daemons, beside the name localhost.
        rsa: make the server's key for RSA, instead of the elliptic curve.
        alias: of the server's key in its store.
        authority_name: the authority's common name. Two that are trusted together need two names.

    Raises:
        LocalClusterError: the package cryptography is missing.
    """
    if all((folder / name).exists() for name in (CA, KEYSTORE, TRUSTSTORE, PASSWORD)):
        return
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric import rsa as rsa_keys
        from cryptography.hazmat.primitives.serialization import pkcs12
    except ImportError:
        raise LocalClusterError(
            "A cluster with TLS or Knox needs the package cryptography: pip install 'knit-yarn[local]'"
        ) from None
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    now = datetime.datetime.now(datetime.timezone.utc)

    def builder(
        subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey | rsa_keys.RSAPublicKey
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        )

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    ca_key = ec.generate_private_key(ec.SECP256R1())
    key = rsa_keys.generate_private_key(65537, 2048) if rsa else ec.generate_private_key(ec.SECP256R1())
    authority = (
        builder(name(authority_name), name(authority_name), ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names = [x509.DNSName("localhost"), *(x509.IPAddress(ipaddress.ip_address(each)) for each in addresses)]
    certificate = (
        builder(name("localhost"), authority.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    password = secrets.token_hex(16)
    encryption = serialization.BestAvailableEncryption(password.encode())
    write_private(folder / PASSWORD, password)
    store = pkcs12.serialize_key_and_certificates(alias.encode(), key, certificate, [authority], encryption)
    trusted = pkcs12.serialize_java_truststore([pkcs12.PKCS12Certificate(authority, b"ca")], encryption)
    for file, data in ((KEYSTORE, store), (TRUSTSTORE, trusted)):
        (folder / file).write_bytes(data)
        (folder / file).chmod(0o600)
    # The authority's key is kept nowhere: nobody can sign a further certificate.
    (folder / CA).write_bytes(authority.public_bytes(serialization.Encoding.PEM))


def write_truststore(path: Path, authority: bytes, password: str) -> None:
    """Write a PKCS12 store of what is trusted.

    Args:
        path: of the store.
        authority: the trusted certificate, PEM.
        password: of the store.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.serialization import pkcs12

    encryption = serialization.BestAvailableEncryption(password.encode())
    trusted = pkcs12.PKCS12Certificate(x509.load_pem_x509_certificate(authority), b"ca")
    path.touch(mode=0o600)
    path.write_bytes(pkcs12.serialize_java_truststore([trusted], encryption))
