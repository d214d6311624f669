"""TLS of the cluster's web services: which certificates are trusted, the client's own one, and faults in words."""

from __future__ import annotations

import functools
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from knit_core.hadoop.http.adapter import CompleteHeadersAdapter
from knit_core.model.representation import shown

log = logging.getLogger(__name__)
_KEPT = 32  # maximum of connections kept open to one address
_warned = threading.Event()
# Values of X509_V_ERR_… in OpenSSL's x509_vfy.h.
_NOT_YET_VALID, _EXPIRED, _REVOKED, _OTHER_HOST, _OTHER_ADDRESS = 9, 10, 23, 62, 64
_UNKNOWN_AUTHORITY = {2, 18, 19, 20, 21}
_NO_CLIENT_CERTIFICATE = (
    "CERTIFICATE_REQUIRED",
    "HANDSHAKE_FAILURE",
    "BAD_CERTIFICATE",
    "UNKNOWN_CA",
    "CERTIFICATE_UNKNOWN",
)
_NO_COMMON_VERSION = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE")
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")
SPEAKS_TLS = "it speaks https, not http: write https:// in the address"
_PROBE_TIMEOUT = 2.0  # seconds
_TLS_ALERT = "\\x15\\x03"  # the first bytes of a TLS server's reply to a request without TLS, as Python quotes them


@shown
@dataclass(frozen=True)
class Tls:
    """Settings of https connections.

    Attributes:
        ca: file or folder of the trusted certificates (PEM); `false`: no server's identity is verified; empty: the
            operating system's certificates and those of the package certifi.
        certificate: file with the client's certificate (PEM); empty for none.
        key: file with its private key (PEM); empty when it is in the same file.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""

    def configure(self, session: requests.Session) -> None:
        """Make a session use these settings."""
        unverified = self.ca.lower() == "false"
        context = None if self.ca else _system_certificates()
        for scheme in ("http://", "https://"):
            session.mount(scheme, CompleteHeadersAdapter(context, pool_maxsize=_KEPT))
        session.verify = False if unverified else self.ca or True
        if self.certificate:
            session.cert = (self.certificate, self.key or self.certificate)
        if unverified and not _warned.is_set():
            _warned.set()
            log.warning(
                "the identity of https servers is not verified (ca: false): anybody between can read and change data"
            )


@functools.cache
def _system_certificates() -> ssl.SSLContext:
    import truststore

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def tls_fault(error: BaseException) -> str:
    """A TLS fault in words, as a clause about the server, with the remedy; empty when it is none that is known."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate_fault(cause)
        if isinstance(cause, ssl.SSLError):
            reason = (cause.reason or "").upper()
            if any(part in reason for part in _NOT_TLS):
                return "it speaks http, not https: write http:// in the address"
            if any(part in reason for part in _NO_COMMON_VERSION):
                return "it has no version of TLS in common with this machine"
            # In TLS 1.3 the refusal comes after the handshake: whether it is read or the connection is closed before is chance.
            if isinstance(cause, ssl.SSLEOFError) or any(part in reason for part in _NO_CLIENT_CERTIFICATE):
                return "it ended the connection: does it require a client certificate (client_certificate)?"
        if _TLS_ALERT in repr(cause):
            return SPEAKS_TLS
    return ""


def speaks_tls(base: str) -> bool:
    """Whether the server at `http://host:port` accepts TLS: some close the connection of a plain request without a word."""
    parts = urlsplit(base)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((parts.hostname or "", parts.port or 80), _PROBE_TIMEOUT) as plain,
            # the handshake is a call of its own: an error in it leaves no socket open then
            context.wrap_socket(plain, server_hostname=parts.hostname, do_handshake_on_connect=False) as secured,
        ):
            secured.do_handshake()
            return True
    except (OSError, ValueError):
        return False


def _certificate_fault(error: ssl.SSLCertVerificationError) -> str:
    code = error.verify_code
    if code == _EXPIRED:
        return "its certificate has expired"
    if code == _NOT_YET_VALID:
        return "its certificate is not valid yet: is the clock of this machine right?"
    if code == _REVOKED:
        return "its certificate was revoked"
    if code in {_OTHER_HOST, _OTHER_ADDRESS}:
        return (
            f"its certificate is another host's ({error.verify_message.rstrip('.')}): use the name in the certificate"
        )
    if code in _UNKNOWN_AUTHORITY:
        return (
            "its certificate is of an authority that is not trusted here: set ca (KNIT_CA) to the file of the authority's "
            "certificates"
        )
    return f"its certificate is not trusted ({error.verify_message.rstrip('.')})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those within it: requests and urllib3 keep them as arguments and attributes."""
    left: list[Any] = [error]
    for _ in range(32):
        if not left:
            return
        found = left.pop(0)
        if not isinstance(found, BaseException):
            continue
        yield found
        left += [*found.args, getattr(found, "reason", None), found.__cause__, found.__context__]


__all__ = ["SPEAKS_TLS", "Tls", "speaks_tls", "tls_fault"]
