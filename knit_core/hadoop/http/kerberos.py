"""SPNEGO: identity by Kerberos, from the beginning or from a server's first request for it.

A server that wants Kerberos answers 401 with `WWW-Authenticate: Negotiate`; the request is then repeated with a ticket for
`HTTP/<host>`. Its reply sets a signed cookie, which spares further handshakes until it expires.
"""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests
from requests.auth import AuthBase

from knit_core.errors import KnitError, NotAuthorized
from knit_core.hadoop.http.auth import ActingFor, AuthStrategy, SimpleAuth, impersonation_hint
from knit_core.hadoop.http.gateway_auth import BasicAuth, TokenAuth, gateway_hint
from knit_core.hadoop.http.kerberos_faults import reply_hint
from knit_core.hadoop.http.tickets import Tickets, import_gssapi


class KerberosAuth:
    """Tickets prove who the user is; requests carry no name.

    Args:
        tickets: the user's.
        user: returns the short name for messages and paths.
    """

    def __init__(self, tickets: Tickets, user: Callable[[], str]) -> None:
        self.tickets, self._user = tickets, user

    @property
    def user(self) -> str:
        """The short name."""
        return self._user()

    def configure(self, session: requests.Session) -> None:
        """SPNEGO on requests that are answered with 401."""
        session.auth = _OnRequest(self.tickets)

    def parameters(self) -> dict[str, str]:
        """None: servers refuse a name that differs from the ticket's."""
        return {}

    def __repr__(self) -> str:
        return f"KerberosAuth({self.tickets!r})"


class DetectedAuth:
    """Simple authentication until a server asks for Kerberos, then that for all services that share this object.

    Args:
        simple: the identity at first.
        kerberos: the identity afterwards.
        found: called once, before the first ticket is used; raises KnitError when Kerberos must not be used.
    """

    def __init__(self, simple: SimpleAuth, kerberos: KerberosAuth, found: Callable[[], None]) -> None:
        self._simple, self._kerberos, self._found = simple, kerberos, found
        self._asked = False
        self._lock = threading.Lock()

    @property
    def present(self) -> SimpleAuth | KerberosAuth:
        """The identity of the next request."""
        return self._kerberos if self._asked else self._simple

    @property
    def user(self) -> str:
        """The user of the present identity."""
        return self.present.user

    def configure(self, session: requests.Session) -> None:
        """SPNEGO on requests that are answered with 401."""
        session.auth = _OnRequest(self._kerberos.tickets, self.switch)

    def parameters(self) -> dict[str, str]:
        """Those of the present identity."""
        return self.present.parameters()

    def switch(self, address: str) -> None:
        """Use Kerberos from now on.

        Args:
            address: of the server that asked for it.

        Raises:
            KnitError: there are no tickets, or the settings forbid it.
        """
        with self._lock:
            if not self._asked:
                self._kerberos.tickets.principal(address)
                self._asked = True
                try:
                    self._found()
                except KnitError:
                    self._asked = False
                    raise

    def without_detection(self) -> AuthStrategy:
        """The present identity, for servers that are not believed when they ask for Kerberos: programs of users."""
        return _Present(self, self._kerberos)

    def __repr__(self) -> str:
        return f"DetectedAuth({self.present!r})"


class _Present:
    """What a DetectedAuth uses now; Kerberos only after a server of the cluster has asked for it."""

    def __init__(self, detected: DetectedAuth, kerberos: KerberosAuth) -> None:
        self._detected, self._kerberos = detected, kerberos

    @property
    def user(self) -> str:
        return self._detected.user

    def configure(self, session: requests.Session) -> None:
        session.auth = _OnRequest(self._kerberos.tickets, enabled=lambda: self._detected.present is self._kerberos)

    def parameters(self) -> dict[str, str]:
        return self._detected.parameters()

    def __repr__(self) -> str:
        return repr(self._detected.present)


class _OnRequest(AuthBase):
    """Watches the reply to each request. A handshake has an object of its own: threads share the session."""

    def __init__(
        self,
        tickets: Tickets,
        asked: Callable[[str], None] | None = None,
        enabled: Callable[[], bool] = lambda: True,
    ) -> None:
        self._tickets, self._asked, self._enabled = tickets, asked, enabled

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.register_hook("response", self._negotiate)  # type: ignore[no-untyped-call]
        return request

    def _negotiate(self, response: requests.Response, **options: Any) -> requests.Response:
        if response.status_code != 401 or not wants_kerberos(response) or not self._enabled():
            return response
        try:
            return self._login(response, options)
        except KnitError:
            response.close()  # its caller gets the error
            raise

    def _login(self, response: requests.Response, options: dict[str, Any]) -> requests.Response:
        parts = urlsplit(response.url)
        address = f"{parts.scheme}://{parts.netloc}"
        if self._asked is not None:
            self._asked(address)
        request = response.request
        request.url = _without_name(str(request.url))
        request.headers.pop("Cookie", None)  # an expired one would be refused again
        handshake = _handshake_class(address)(self._tickets, address)
        reply: requests.Response = handshake.handle_response(response, **options)
        return reply


def wants_kerberos(response: requests.Response) -> bool:
    """Whether a server asks for SPNEGO."""
    return "negotiate" in response.headers.get("WWW-Authenticate", "").lower()


def login_hint(response: requests.Response, auth: object, message: str) -> str:
    """What a refused login means, to be appended to its error; empty when that is not known.

    Args:
        response: with status 401 or 403.
        auth: the identity that was refused.
        message: the reply's text.
    """
    auth = auth.auth if isinstance(auth, ActingFor) else auth
    if (
        response.status_code == 401
        and wants_kerberos(response)
        and isinstance(auth, (SimpleAuth, BasicAuth, TokenAuth))
    ):
        name = {BasicAuth: "basic", TokenAuth: "token"}.get(type(auth), "simple")
        return f"; it asks for Kerberos, but auth is {name}: set auth to kerberos (KNIT_AUTH=kerberos)"
    hint = reply_hint(message)
    if hint:
        return f"; {hint}"
    challenge = response.headers.get("WWW-Authenticate", "")
    return impersonation_hint(message) or gateway_hint(auth, response.url, response.status_code, challenge, message)


def _without_name(url: str) -> str:
    """A URL without `user.name`: servers with Kerberos refuse a name that is not the ticket's."""
    parts = urlsplit(url)
    if "user.name=" not in parts.query:
        return url
    pairs = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "user.name"]
    return parts._replace(query=urlencode(pairs)).geturl()


def _handshake_class(address: str) -> Any:
    import_gssapi(address)
    return _make_class()


@cache
def _make_class() -> Any:
    """The class is made on first use: its base comes from an optional package."""
    import gssapi
    from requests_gssapi import OPTIONAL, HTTPSPNEGOAuth
    from requests_gssapi.exceptions import MutualAuthenticationError

    logging.getLogger("requests_gssapi").setLevel(logging.WARNING)  # below that, it logs the tickets that it sends

    class Handshake(HTTPSPNEGOAuth):  # type: ignore[misc]
        """requests-gssapi's, with errors in words; that one logs tracebacks and returns the reply 401."""

        def __init__(self, tickets: Tickets, address: str) -> None:
            super().__init__(mutual_authentication=OPTIONAL)
            self._tickets, self._address = tickets, address

        def generate_request_header(self, response: Any, host: str, is_preemptive: bool = False) -> str:
            name = gssapi.Name(f"HTTP@{host}", gssapi.NameType.hostbased_service)
            credentials = self._tickets.credentials(self._address)
            try:
                context = self.context[host] = gssapi.SecurityContext(
                    name=name, creds=credentials, mech=self.mech, usage="initiate",
                    flags=[gssapi.RequirementFlag.mutual_authentication],
                )  # fmt: skip
                return f"Negotiate {base64.b64encode(context.step()).decode()}"
            except gssapi.exceptions.GSSError as error:
                raise self._tickets.handshake_fault(error, self._address, name) from None

        def handle_other(self, response: Any) -> Any:
            if not response.ok or not self.context:
                return response
            try:
                return super().handle_other(response)
            except MutualAuthenticationError:
                raise NotAuthorized(
                    f"the server at {self._address} could not prove that it is the one that its Kerberos principal names",
                    status=401, address=self._address,
                ) from None  # fmt: skip

    return Handshake


__all__ = ["DetectedAuth", "KerberosAuth", "login_hint"]
