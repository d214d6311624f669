"""Checks of one address below HTTP: its name, its port, its certificate. Faults are the errors that requests raise, too."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.util.ssl_ import create_urllib3_context

from knit_core.config.proxies import without_user
from knit_core.errors import KnitError
from knit_core.hadoop.http import HttpService, Tls

_SHOWN = 4  # addresses of one name
_SOON = 30 * 24 * 3600.0  # seconds
_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080, "socks4": 1080, "socks4a": 1080}


@dataclass(frozen=True)
class Target:
    """Where connections to an address go: to its host, or to a proxy.

    Attributes:
        base: base URL of the server.
        host, port: of the server or the proxy.
        proxy: the proxy's address for messages; empty without one.
    """

    base: str
    host: str
    port: int
    proxy: str = ""

    @property
    def secure(self) -> bool:
        """Whether the server's address is one of https."""
        return self.base.startswith("https:")

    @property
    def name(self) -> str:
        """For messages."""
        return f"the proxy {self.proxy}" if self.proxy else f"{self.host}:{self.port}"


def target_of(service: HttpService, base: str) -> Target:
    """Where the requests of a service to `base` go."""
    proxy = service.endpoint.proxies.of(base)
    parts = urlsplit(proxy or base)
    port = parts.port or _PORTS.get(parts.scheme, 80)
    return Target(base, parts.hostname or "", port, without_user(proxy) if proxy else "")


def resolve(service: HttpService, target: Target) -> str:
    """Resolve the name; the addresses in words.

    Raises:
        ConnectionFailed: the name is not known.
    """
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _broken(service, target, requests.ConnectionError(f"gaierror: {error}"), "resolve its name") from None
    addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
    more = f" and {len(addresses) - _SHOWN} more" if len(addresses) > _SHOWN else ""
    words = f"{target.host} is {', '.join(addresses[:_SHOWN])}{more}"
    if addresses == [target.host]:
        words = f"{target.host} is an address, no name"
    return f"the proxy {words}" if target.proxy else words


def connect(service: HttpService, target: Target, timeout: float) -> str:
    """Connect to the port and close the connection; the result in words.

    Raises:
        ConnectionFailed: the port is closed, or does not answer within `timeout` seconds.
    """
    with _connection(service, target, timeout):
        return f"{target.name} accepts connections"


def shake_hands(service: HttpService, target: Target, timeout: float, now: float) -> tuple[str, str]:
    """Connect by TLS and verify the server; the version and the certificate in words, and a remedy or an empty text.

    Args:
        service: with the trusted certificates.
        target: where to connect.
        timeout: seconds.
        now: seconds since 1970, for a certificate that ends soon.

    Raises:
        ConnectionFailed: the server does not speak TLS, or its certificate is not trusted.
    """
    tls, host = service.endpoint.tls, urlsplit(target.base).hostname or ""
    context = _context(tls)
    with _connection(service, target, timeout) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False) as secured:
                secured.do_handshake()
                return _certificate(secured.getpeercert() or {}, str(secured.version()), tls, now)
        except ssl.SSLError as error:
            raise _broken(service, target, requests.exceptions.SSLError(error), "connect by TLS") from None
        except TimeoutError:
            raise _broken(service, target, requests.exceptions.ReadTimeout(), "connect by TLS") from None
        except OSError as error:
            raise _broken(service, target, requests.ConnectionError(error), "connect by TLS") from None


def _connection(service: HttpService, target: Target, timeout: float) -> socket.socket:
    try:
        return socket.create_connection((target.host, target.port), timeout)
    except TimeoutError:
        fault: requests.RequestException = requests.exceptions.ConnectTimeout()
    except ConnectionRefusedError as error:
        fault = requests.ConnectionError(error)
    except OSError as error:
        fault = requests.ConnectionError(f"NewConnectionError: {error}")
    if target.proxy:
        fault = requests.exceptions.ProxyError(fault)
    raise _broken(service, target, fault, "connect")


def _broken(service: HttpService, target: Target, fault: requests.RequestException, action: str) -> KnitError:
    return service.broken(fault, target.base, action)


def _context(tls: Tls) -> ssl.SSLContext:
    """As requests and `Tls.configure` use it."""
    import certifi
    import truststore

    context: ssl.SSLContext = create_urllib3_context()
    if tls.ca.lower() == "false":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif tls.ca:
        place = Path(tls.ca)
        context.load_verify_locations(**({"capath": tls.ca} if place.is_dir() else {"cafile": tls.ca}))
    else:
        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(certifi.where())
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key or None)
    return context


def _certificate(certificate: Mapping[str, Any], version: str, tls: Tls, now: float) -> tuple[str, str]:
    if not certificate:  # not verified here, or verified by an operating system that does not show it
        return (f"{version}; the server is not verified (ca: false)", "") if tls.ca else (version, "")
    parts = {key: value for row in certificate.get("issuer", ()) for key, value in row}
    issuer = parts.get("commonName") or parts.get("organizationName") or "an authority without a name"
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    day = f"{datetime.fromtimestamp(ends, timezone.utc):%Y-%m-%d}"
    words = f"{version}, certificate of {issuer}, good until {day}"
    return words, (f"its certificate ends on {day}: ask for a new one" if ends - now < _SOON else "")


__all__ = ["Target", "connect", "resolve", "shake_hands", "target_of"]
