"""Prepares the folder of the Knox gateway: certificate, master secret, users with passwords, service definitions."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path

from knit_core.local.configuration_files import Setup
from knit_core.local.errors import LocalClusterError
from knit_core.local.gateways import knox_files
from knit_core.local.processes import write_private, write_text
from knit_core.local.secure import certificates

_PASSWORDS = "passwords.json"
_TRUSTED = "trusted.pem"  # the authorities of the gateway and of the cluster
_DEFINITIONS = f"gateway-service-definitions-{knox_files.VERSION}.jar"
# Of Knox's CMFMasterService and ConfigurableEncryptor.
_PASSPHRASE, _ROUNDS, _KEY_BYTES, _SALT_BYTES, _BLOCK_BYTES = b"masterpassphrase", 65536, 16, 8, 16


def prepare(setup: Setup, users: Iterable[str]) -> None:
    """Write its files. Certificate, master secret and passwords are made once.

    Args:
        setup: the cluster.
        users: who may log in.

    Raises:
        LocalClusterError: the package cryptography is missing.
    """
    home = setup.knox_dir
    for folder in knox_files.folders(setup):
        folder.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    # RSA, because Knox signs its own tokens with the key
    certificates.make(home, ["127.0.0.1"], rsa=True, alias=knox_files.KEY_ALIAS, authority_name="knit local Knox")
    secret = (home / certificates.PASSWORD).read_text()
    write_private(home / "data" / "security" / "master", master_file(secret))
    truststore = home / "daemons.p12"
    if setup.tls:
        authority = (setup.tls_dir / certificates.CA).read_bytes()
        certificates.write_truststore(truststore, authority, secret)
        (home / _TRUSTED).write_bytes((home / certificates.CA).read_bytes() + authority)
    _unpack_definitions(setup)
    for name, text in knox_files.files(setup, home / certificates.KEYSTORE, truststore).items():
        write_text(home / "conf" / name, text)
    add_users(setup, users)


def add_users(setup: Setup, users: Iterable[str]) -> None:
    """Give users that have none a password. A running gateway reads the topology again within a few seconds."""
    known = passwords(setup)
    added = {name: secrets.token_urlsafe(18) for name in users if name not in known}
    if added:
        known |= added
        write_private(setup.knox_dir / _PASSWORDS, json.dumps(known))
    topology = setup.knox_dir / "conf" / "topologies" / "default.xml"
    text = knox_files.topology(setup, known)
    if not topology.exists() or topology.read_text() != text:  # a new file is deployed again
        write_private(topology, text)


def passwords(setup: Setup) -> dict[str, str]:
    """Passwords by user; empty before the first start."""
    try:
        return dict(json.loads((setup.knox_dir / _PASSWORDS).read_text()))
    except FileNotFoundError:
        return {}


def variables(setup: Setup, user: str) -> dict[str, str]:
    """Variables with which programs use the gateway, and nothing but it, as a user."""
    base = knox_files.address(setup)
    return {
        "KNIT_RESOURCEMANAGER": f"{base}/yarn",
        "KNIT_NAMENODE": base,
        # containers, which reach HDFS without the gateway, get the same file
        "KNIT_CA": str(setup.knox_dir / (_TRUSTED if setup.tls else certificates.CA)),
        "KNIT_AUTH": "basic",
        "KNIT_USER": user,
        "KNIT_PASSWORD": passwords(setup)[user],
    }


def master_file(secret: str, salt: bytes | None = None, vector: bytes | None = None) -> str:
    """Knox's file with its master secret, as `knoxcli.sh create-master` writes it: a fixed passphrase obscures it.

    Knox takes the secret on a command line or from a terminal only; all users of a machine can read command lines.

    Args:
        secret: of the keystores.
        salt, vector: for tests; random by default.

    Raises:
        LocalClusterError: the package cryptography is missing.
    """
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from cryptography.hazmat.primitives.padding import PKCS7
    except ImportError:
        raise LocalClusterError(
            "A cluster with Knox needs the package cryptography: pip install 'knit-yarn[local]'"
        ) from None
    salt, vector = salt or secrets.token_bytes(_SALT_BYTES), vector or secrets.token_bytes(_BLOCK_BYTES)
    key = hashlib.pbkdf2_hmac("sha1", _PASSPHRASE, salt, _ROUNDS, _KEY_BYTES)
    padder, encryptor = PKCS7(_BLOCK_BYTES * 8).padder(), Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    padded = padder.update(secret.encode()) + padder.finalize()
    parts = (salt, vector, encryptor.update(padded) + encryptor.finalize())
    joined = "::".join(base64.b64encode(part).decode() for part in parts)
    return f"#1.0# knit local\n{base64.b64encode(joined.encode()).decode()}\n"


def _unpack_definitions(setup: Setup) -> None:
    """Knox reads the definitions of its services from a folder; they lie in a jar."""
    data = setup.knox_dir / "data"
    if (data / "services").is_dir():
        return
    scratch = data / ".services"
    shutil.rmtree(scratch, ignore_errors=True)
    with zipfile.ZipFile(Path(setup.gateway_jars[knox_files.KNOX]) / _DEFINITIONS) as archive:
        archive.extractall(scratch, [name for name in archive.namelist() if name.startswith("services/")])
    (scratch / "services").rename(data / "services")
    scratch.rmdir()
