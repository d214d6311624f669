"""Checks of the files with certificates that settings name."""

from __future__ import annotations

import ssl
from pathlib import Path


def problem_with_certificates(path: str) -> str:
    """Why a file or folder cannot be used as certificates; empty when it can."""
    place = Path(path)
    if place.is_dir():
        return ""
    try:
        if not place.is_file():
            return "does not exist"
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        return "contains no certificates (PEM)"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""


def problem_with_client_certificate(certificate: str, key: str) -> str:
    """Why the client's certificate and key cannot be used; empty when they can."""

    def no_password() -> str:
        raise ValueError("its key is encrypted: Knit takes keys without a password only")

    for path in filter(None, (certificate, key)):
        if not Path(path).is_file():
            return f"{path} does not exist"
    try:
        ssl.create_default_context().load_cert_chain(certificate, key or None, no_password)
    except ssl.SSLError:
        return f"{certificate} and its key{f' in {key}' if key else ''} are not a certificate and its private key (PEM)"
    except ValueError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename or certificate} cannot be read: {error.strerror}"
    return ""
