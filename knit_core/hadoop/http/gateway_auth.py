"""Identity at a gateway such as Knox: a password or token, which no other server gets.

Requests to another server, also those to which a reply redirects, are sent without password, token and cookies. The cookies
that the gateway sets are kept for all services, so that it need not check the password for each request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import requests
from requests.auth import AuthBase, _basic_auth_str
from requests.cookies import RequestsCookieJar

from knit_container.secret import Hidden
from knit_core.config.gateways import origin
from knit_core.config.tokens import Token, claims, is_jwt

TOKEN_COOKIE = "hadoop-jwt"  # the default of Knox's sso.cookie.name and knox.token.cookie.name
_PASSCODE = "Passcode"  # the user name with which Knox takes a passcode for a password


class GatewayLogin(AuthBase):
    """Adds a password or token to requests to the gateway, and takes it from all others.

    Args:
        gateways: the servers that get it, by `origin`.
        authorization: returns the header's value for a request.
        token: returns the token for Knox's cookie (empty: none); None: the cookies are the gateway's own.
    """

    def __init__(
        self, gateways: frozenset[str], authorization: Callable[[], str], token: Callable[[], str] | None = None
    ) -> None:
        self.cookies = _Cookies()
        self._gateways, self._authorization, self._token = gateways, authorization, token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        self.restrict(request)
        request.register_hook("response", self._without_old_cookies)  # type: ignore[no-untyped-call]
        return request

    def knows(self, url: str) -> bool:
        """Whether a URL is the gateway's."""
        return origin(url) in self._gateways

    def restrict(self, request: requests.PreparedRequest) -> None:
        """Set the identity for the server of a request, or remove it."""
        if not self.knows(str(request.url)):
            request.headers.pop("Authorization", None)
            request.headers.pop("Cookie", None)
            return
        request.headers["Authorization"] = self._authorization()
        if self._token is not None and (token := self._token()):
            request.headers["Cookie"] = "; ".join([*self._received(request), f"{TOKEN_COOKIE}={token}"])

    def _without_old_cookies(self, response: requests.Response, **options: Any) -> requests.Response:
        """Repeat a refused request without the gateway's cookies, once: the session that they belong to may have ended."""
        request = response.request
        old = self._received(request)
        if response.status_code != 401 or not old or not isinstance(request.body, (bytes, str, type(None))):
            return response
        self.cookies.clear()
        _ = response.content  # then the connection can be used again
        response.close()
        again = request.copy()
        again.headers.pop("Cookie", None)
        again._cookies = RequestsCookieJar()  # type: ignore[attr-defined]
        self.restrict(again)
        reply: requests.Response = response.connection.send(again, **options)
        reply.request = again
        return reply

    def _received(self, request: requests.PreparedRequest) -> list[str]:
        """The cookies of a request that the gateway has set."""
        pairs = (request.headers.get("Cookie") or "").split("; ")
        own = f"{TOKEN_COOKIE}=" if self._token is not None else None
        return [pair for pair in pairs if pair and not (own and pair.startswith(own))]

    def __repr__(self) -> str:
        return "GatewayLogin()"


class BasicAuth:
    """User and password. No repr contains the password.

    Args:
        user, password: as the gateway knows them.
        gateways: the servers that get them, by `origin`.
        source: the settings that hold them, for messages.
    """

    def __init__(self, user: str, password: str, gateways: frozenset[str], source: str = "password") -> None:
        self.user, self.source = user, source
        hidden = Hidden(password)
        self.login = GatewayLogin(gateways, lambda: _basic_auth_str(user, hidden.reveal()))

    def configure(self, session: requests.Session) -> None:
        """HTTP basic authentication on requests to the gateway."""
        session.auth, session.cookies = self.login, self.login.cookies

    def parameters(self) -> dict[str, str]:
        """None: the gateway names the user to the cluster."""
        return {}

    def refusal(self) -> str:
        """What a refused login means."""
        return f"it refuses the user {self.user} or the password ({self.source})"

    def __repr__(self) -> str:
        return f"BasicAuth({self.user!r})"


class TokenAuth:
    """A token of Knox's: a JSON web token as `Authorization: Bearer` and as Knox's cookie, a passcode as Knox's password.

    Args:
        user: the token's, for messages.
        token: where it comes from.
        gateways: the servers that get it, by `origin`.
    """

    def __init__(self, user: str, token: Token, gateways: frozenset[str]) -> None:
        self.user, self.token = user, token
        self.login = GatewayLogin(gateways, self._authorization, self._cookie)

    def configure(self, session: requests.Session) -> None:
        """The token on requests to the gateway."""
        session.auth, session.cookies = self.login, self.login.cookies

    def parameters(self) -> dict[str, str]:
        """None: the gateway names the user to the cluster."""
        return {}

    def refusal(self) -> str:
        """What a refused login means."""
        expiry = claims(self.token.value).get("exp")
        if isinstance(expiry, (int, float)) and expiry <= time.time():
            when = datetime.fromtimestamp(expiry, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
            return f"the token ({self.token.source}) has expired, at {when}: get a new one from the gateway"
        return f"it refuses the token ({self.token.source}): get a new one from the gateway"

    def _authorization(self) -> str:
        token = self.token.value
        return f"Bearer {token}" if is_jwt(token) else _basic_auth_str(_PASSCODE, token)

    def _cookie(self) -> str:
        """The token; empty for a passcode: Knox refuses a request with a cookie that is no JSON web token."""
        token = self.token.value
        return token if is_jwt(token) else ""

    def __repr__(self) -> str:
        return f"TokenAuth({self.user!r}, {self.token.source!r})"


def gateway_hint(auth: object, address: str, status: int, challenge: str, message: str) -> str:
    """What a refused login at a gateway means, to be appended to its error; empty when it is another matter.

    Args:
        auth: the identity that was refused.
        address: base URL of the server that refused it.
        status: of the reply.
        challenge: the reply's header WWW-Authenticate.
        message: its text; empty: it is a page for people, as those of gateways are.
    """
    if isinstance(auth, (BasicAuth, TokenAuth)):
        if not auth.login.knows(address):
            what = "password" if isinstance(auth, BasicAuth) else "token"
            return (
                f"; the {what} is not sent there: only the gateway gets it. If that is another name of the gateway (Knox: "
                "gateway.frontend.url), give the addresses with that name"
            )
        if status == 401:
            return f"; {auth.refusal()}"
        if message:
            return ""
        return "; the gateway knows the user but does not let it use this service (Knox: the topology's authorization)"
    if status == 401 and challenge.lower().startswith(("basic", "bearer")):
        return (
            "; it asks for a login, as a gateway such as Knox does: set auth to basic (KNIT_AUTH, KNIT_USER, KNIT_PASSWORD) or "
            "to token (KNIT_TOKEN_FILE)"
        )
    return ""


class _Cookies(RequestsCookieJar):
    """Cookies that several sessions share. Threads may iterate while another one adds; no repr shows a value."""

    def __init__(self) -> None:
        super().__init__()
        self._iterating = threading.RLock()

    def __iter__(self) -> Iterator[Any]:
        with self._iterating:
            return iter(list(super().__iter__()))

    def set_cookie(self, cookie: Any, *args: Any, **options: Any) -> Any:
        with self._iterating:
            return super().set_cookie(cookie, *args, **options)

    def __repr__(self) -> str:
        return f"<cookies {sorted(cookie.name for cookie in self)}>"

    __str__ = __repr__


__all__ = ["BasicAuth", "GatewayLogin", "TokenAuth", "gateway_hint"]
