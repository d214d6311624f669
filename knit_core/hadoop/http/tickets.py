"""Tickets: the user's Kerberos credentials, from a ticket cache or a keytab. Needs the extra `kerberos`."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from knit_core.errors import ConfigError, KnitError
from knit_core.hadoop.http.kerberos_faults import MISSING_PACKAGE, ticket_fault

_locks: dict[str, threading.Lock] = {}  # by cache, of which there are as many as keytabs


def _lock_of(cache: str) -> threading.Lock:
    return _locks.setdefault(cache, threading.Lock())


class Tickets:
    """Where the credentials come from; they are read anew for each handshake, so that renewed ones are used. Thread-safe.

    With a keytab, Kerberos' library gets a ticket when the first one is needed and again before it expires. It stays in the
    memory of this process, in a cache that all objects with the same keytab and principal share.

    Args:
        cache: ticket cache, as in KRB5CCNAME; empty: the default one.
        keytab: file of keys; empty: a ticket cache is used.
        principal: of the keytab or the cache; empty: its first.
    """

    def __init__(self, cache: str = "", keytab: str = "", principal: str = "") -> None:
        self._cache, self._keytab, self._wanted = cache, keytab, principal
        self._principal = principal if "@" in principal else ""
        self._version = ""
        self._worked = False

    @property
    def source(self) -> str:
        """For messages."""
        if self._keytab:
            return f"the keytab {self._keytab}"
        name = self._cache or os.environ.get("KRB5CCNAME", "")
        return f"the ticket cache {name}" if name else "the default ticket cache (see klist)"

    def principal(self, address: str) -> str:
        """The principal, with its realm. Raises as `credentials`."""
        if not self._principal:
            self.credentials(address)
        return self._principal

    def credentials(self, address: str) -> Any:
        """gssapi.Credentials for one handshake.

        Args:
            address: base URL of the server that asks, for messages.

        Raises:
            ConfigError: the package requests-gssapi is not installed.
            NotAuthorized: there is no valid ticket.
            ConnectionFailed: no KDC answers, or a ticket that was good has expired.
        """
        gssapi = import_gssapi(address)
        try:
            with _lock_of(self._memory_cache()):  # two threads would both ask the KDC for the keytab's first ticket
                found = self._acquire(gssapi)
                self._principal = str(found.name)
                if found.lifetime == 0:
                    raise gssapi.exceptions.ExpiredCredentialsError(gssapi.raw.GSS_S_CREDENTIALS_EXPIRED, 0)
        except gssapi.exceptions.GSSError as error:
            raise self.fault(error, address) from None
        self._worked = True
        return found

    def _acquire(self, gssapi: Any, mechanisms: Any = None) -> Any:
        name = gssapi.Name(self._wanted, gssapi.NameType.kerberos_principal) if self._wanted else None
        store: dict[str, str] = {}
        if self._keytab:
            store = {"client_keytab": self._keytab, "ccache": self._memory_cache()}
        elif self._cache:
            store = {"ccache": self._cache}
        options = {"store": store} if store else {}
        return gssapi.Credentials(name=name, usage="initiate", mechs=mechanisms, **options)

    def _memory_cache(self) -> str:
        """The name of the cache for the keytab's tickets; another one when the file was replaced. Empty without a keytab.

        The library keeps such a cache until the process ends, so a name must never come to mean another keytab.
        """
        if not self._keytab:
            return ""
        try:
            status = Path(self._keytab).stat()
            version = f"{status.st_ino} {status.st_mtime_ns} {status.st_size}"
        except OSError:  # deleted: its tickets are good until they expire
            version = self._version
        self._version = version
        text = "\0".join((self._keytab, self._wanted, version))
        return f"MEMORY:knit-{hashlib.sha256(text.encode()).hexdigest()[:32]}"

    def handshake_fault(self, error: Any, address: str, server: Any) -> KnitError:
        """The error for one of gssapi's in a handshake.

        SPNEGO hides the cause, so the ticket for the server is asked for once more without it.

        Args:
            error: of the handshake.
            address: base URL of the server.
            server: its name (gssapi.Name).
        """
        gssapi = import_gssapi(address)
        try:
            kerberos = gssapi.MechType.kerberos
            credentials = self._acquire(gssapi, [kerberos])
            gssapi.SecurityContext(name=server, creds=credentials, mech=kerberos, usage="initiate").step()
        except gssapi.exceptions.GSSError as cause:
            error = cause
        return self.fault(error, address)

    def fault(self, error: Any, address: str) -> KnitError:
        """The error for one of gssapi's."""
        kinds = import_gssapi(address).exceptions
        return ticket_fault(
            error.min_code,
            _one_line(error),
            missing=isinstance(error, (kinds.MissingCredentialsError, kinds.InvalidCredentialsError)),
            expired=isinstance(error, kinds.ExpiredCredentialsError),
            address=address,
            host=urlsplit(address).hostname or address,
            source=self.source,
            principal=self._principal or self._wanted,
            keytab=bool(self._keytab),
            worked=self._worked,
        )

    def __repr__(self) -> str:
        return f"Tickets({self.source!r})"


def import_gssapi(address: str) -> Any:
    """The module gssapi. Raises ConfigError, with the packages, when it is not installed."""
    try:
        import gssapi
        import requests_gssapi  # noqa: F401
    except (ImportError, OSError):  # gssapi raises OSError when the system has no Kerberos library
        raise ConfigError(MISSING_PACKAGE.format(address=address)) from None
    return gssapi


def _one_line(error: Any) -> str:
    """The library's message for the minor code, which is the more specific one."""
    text = " ".join(str(error.gen_message()).split())
    return text.rpartition("Minor (")[2].partition("): ")[2] or text


__all__ = ["Tickets", "import_gssapi"]
