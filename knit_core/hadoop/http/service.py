"""HttpService: requests to one service of the cluster, which may have several addresses.

All threads share one session per service; its connections are kept open. Proxies of the environment are used only when
configured. Faults are raised as errors of knit_core.errors, with the action, the address and the reply.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import requests

from knit_container.secret import Hidden
from knit_core.config.proxies import Proxies, without_user
from knit_core.errors import (
    ConnectionFailed,
    KnitError,
    NotAuthorized,
    NotFound,
    RequestRefused,
    ServiceUnavailable,
    UnexpectedReply,
)
from knit_core.hadoop.http.auth import AuthStrategy
from knit_core.hadoop.http.failover import Failover, Failure
from knit_core.hadoop.http.fault_reasons import NO_SUBCLUSTER, reason_of
from knit_core.hadoop.http.gateway_auth import GatewayLogin
from knit_core.hadoop.http.kerberos import login_hint
from knit_core.hadoop.http.retry import RetryPolicy
from knit_core.hadoop.http.routes import Route
from knit_core.hadoop.http.server_detection import RPC_PORT, detect_server
from knit_core.hadoop.http.session import Downgrade, RpcPort, Session, refuse_downgrade, refuse_rpc_port
from knit_core.hadoop.http.tls import SPEAKS_TLS, Tls, speaks_tls, tls_fault
from knit_core.model.representation import shown

log = logging.getLogger(__name__)
_WEB_PORTS = {"ResourceManager": "8088 (https: 8090)", "NameNode": "9870 (https: 9871)"}
_FIRST_CONTACT = 2.0  # seconds
_REDIRECTS = (301, 302, 303, 307, 308)
_NOT_SERVING = {"StandbyException", "RetriableException", "SafeModeException"}
_FAULTS = {"", "IOException", "WebApplicationException", "YarnException", "ConnectException"}
_NOT_ALLOWED = {"AccessControlException", "AuthorizationException", "SecurityException"}
_STANDBY = ("this is standby rm", "standbyexception", "state standby")


@shown
@dataclass(frozen=True)
class Endpoint:
    """Addresses of a service and settings of the requests to it.

    Attributes:
        name: the name in messages ("ResourceManager").
        addresses: the given base URLs; the next one is tried after a connection failure or the reply of a standby.
        auth: identity.
        tls: settings of https connections.
        timeout: (connect, read) seconds.
        proxies: the configured proxies.
        others: returns further addresses of the service, when none of `addresses` serves; called with whether one of
            them answered, as a standby. None: there are no others.
        locate: finds the service's API below an address that may be a gateway's; called once for each address. None: the
            addresses are the service's own.
        unknown: the hint in messages when a host name cannot be resolved, instead of the general one.
    """

    name: str
    addresses: tuple[str, ...]
    auth: AuthStrategy
    tls: Tls = field(default_factory=Tls)
    timeout: tuple[float, float] = (5.0, 30.0)
    proxies: Proxies = field(default_factory=Proxies)
    others: Callable[[bool], Iterable[str]] | None = field(default=None, compare=False)
    locate: Callable[[HttpService, str], Route] | None = field(default=None, compare=False)
    unknown: str = ""


@dataclass(frozen=True)
class _Call:
    """One request, sent to each address in turn."""

    method: str
    path: str
    action: str
    params: Mapping[str, str]
    data: bytes | None = field(repr=False)
    headers: Mapping[str, str]
    expect: Sequence[int]
    stream: bool
    idempotent: bool


class HttpService:
    """Sends requests to an `Endpoint`; thread-safe.

    All threads share one session: a launch uses short-lived threads, and connections must outlive them.

    Attributes:
        failover: all known addresses, and which of them served last.
    """

    def __init__(self, endpoint: Endpoint, retry: RetryPolicy | None = None) -> None:
        self.endpoint = endpoint
        self.retry = retry or RetryPolicy()
        self.failover = Failover(endpoint.addresses, endpoint.others)
        self._has_answered = False
        self._session: requests.Session | None = None
        self._lock = threading.Lock()
        self._routes: dict[str, Route] = {}
        self._locating = threading.Lock()

    @property
    def address(self) -> str:
        """The address that the next request is sent to first: of a gateway, once it was found, with the service's path."""
        found = self._routes.get(self.failover.address)
        return found.base if found else self.failover.address

    def route(self, base: str | None = None) -> Route:
        """The way to the service's API from a given address (None: the present one); found once, by requests to a gateway."""
        base = base or self.failover.address
        if self.endpoint.locate is None:
            return Route(base)
        with self._locating:  # other threads wait for this answer
            if base not in self._routes:
                self._routes[base] = self.endpoint.locate(self, base)
            return self._routes[base]

    @property
    def session(self) -> requests.Session:
        """The configured session. WebHDFS calls use it, too."""
        with self._lock:
            if self._session is None:
                self._session = self.new_session()
            return self._session

    def new_session(self) -> requests.Session:
        """A new configured session; the caller closes it."""
        session = Session(self.endpoint.proxies)
        session.trust_env = False
        self.endpoint.tls.configure(session)
        session.hooks["response"] += [refuse_rpc_port, refuse_downgrade]
        session.headers.update({"X-XSRF-Header": "knit", "Accept": "application/json", "User-Agent": "knit"})
        self.endpoint.auth.configure(session)
        return session

    def request(
        self,
        method: str,
        path: str,
        *,
        action: str,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool | None = None,
        expect: Sequence[int] = (200, 201, 202, 204),
        retry: RetryPolicy | None = None,
        stream: bool = False,
    ) -> requests.Response:
        """Send one request and return its successful reply.

        Args:
            method: HTTP verb.
            path: below the address, starting with `/`.
            action: for error messages ("submit application_…").
            params: query parameters, without those of the identity.
            body: sent as JSON when it is not None.
            headers: additional ones.
            idempotent: whether a repetition is harmless; by default for GET, HEAD and PUT.
            expect: statuses of success.
            retry: None: the policy of the service.
            stream: leave the body unread.

        Raises:
            ConnectionFailed, ServiceUnavailable: transient; raised after the retries.
            RequestRefused, NotAuthorized, NotFound, UnexpectedReply: raised at once.
        """
        repeatable = method in {"GET", "HEAD", "PUT"} if idempotent is None else idempotent
        sent = dict(headers or {})
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        call = _Call(method, path, action, params or {}, _encoded(body), sent, expect, stream, repeatable)
        return self.policy(retry).call(lambda: self._over_addresses(call), idempotent=repeatable)

    def policy(self, retry: RetryPolicy | None = None) -> RetryPolicy:
        """The policy for the next request, with a small budget until the service has answered once.

        An address that has never answered is more likely wrong than that of a restarting server.
        """
        chosen = retry or self.retry
        if self.failover.looking_up:  # the request that led here is repeated itself
            return replace(chosen, budget=0)
        return chosen if self._has_answered else replace(chosen, budget=min(chosen.budget, _FIRST_CONTACT), tries=1)

    def get_json(self, path: str, *, action: str, params: Mapping[str, str] | None = None, **options: Any) -> Any:
        """GET `path` and return its JSON."""
        return self.json_of(self.request("GET", path, action=action, params=params, **options), action)

    def json_of(self, response: requests.Response, action: str) -> Any:
        """The JSON of a reply. Raises UnexpectedReply when it is not JSON (a login page, for example)."""
        try:
            return response.json()
        except ValueError:
            raise UnexpectedReply(
                f"{action}: {base_of(response)} answered {response.status_code} with "
                f"{response.headers.get('Content-Type', 'no content type')} where JSON was expected: is this address "
                f"really the {self.endpoint.name}'s web address?{self.instead(base_of(response))}",
                address=base_of(response),
                action=action,
            ) from None

    def close(self) -> None:
        """Close all connections; a later request opens new ones."""
        with self._lock:
            if self._session is not None:
                self._session.close()

    def _over_addresses(self, call: _Call) -> requests.Response:
        def send(base: str) -> requests.Response:
            response = self._send(base, call)
            if response.status_code in call.expect:
                return response
            raise self.error_of(response, call.action)

        def failure_of(error: Exception, _base: str) -> Failure | None:
            if not isinstance(error, (ConnectionFailed, ServiceUnavailable)):
                return None
            not_done = getattr(error, "before_sending", False) or getattr(error, "not_carried_out", False)
            return Failure(str(error), isinstance(error, ServiceUnavailable), call.idempotent or not_done)

        return self.failover.call(send, failure_of, call.action)

    def _send(self, base: str, call: _Call) -> requests.Response:
        url = self.route(base).url(call.path)
        try:
            response = self.session.request(
                call.method,
                url,
                params={**self.endpoint.auth.parameters(), **call.params},
                data=call.data,
                headers=call.headers,
                timeout=self.endpoint.timeout,
                stream=call.stream,
                allow_redirects=call.method == "GET",
            )
        except requests.RequestException as error:
            raise self.broken(error, base, call.action) from None
        self._has_answered = True
        log.debug("%s %s: %d", call.method, url, response.status_code)
        return response

    def broken(self, error: requests.RequestException, base: str, action: str, *, name: str | None = None) -> KnitError:
        """The error for a request without a reply. It does not quote `error`, which may contain a URL with secrets.

        Args:
            error: the fault.
            base: scheme, host and port that the request was sent to.
            action: for the message.
            name: name of the server, when it is not the endpoint ("DataNode").
        """
        if isinstance(error, RpcPort):
            usual = _WEB_PORTS.get(name or self.endpoint.name)
            hint = (
                f": the {self.endpoint.name}'s web port is {usual} unless the cluster sets another." if usual else "."
            )
            return UnexpectedReply(f"{action}: {base} is {RPC_PORT}{hint}", address=base, action=action)
        if isinstance(error, Downgrade):
            return UnexpectedReply(
                f"{action}: {base} redirects to {error.place}, which is not encrypted, so Knit does not go there. Let the "
                f"cluster serve https throughout (yarn.http.policy, dfs.http.policy), or name http addresses.",
                address=base,
                action=action,
            )
        reason, before = reason_of(error)
        where = f"the {name or self.endpoint.name} at {self._through(base)}"
        words = tls_fault(error)
        if not words and self._closed_without_a_word(error, base) and speaks_tls(base):
            words = SPEAKS_TLS
        hint = words or {
            "connection refused": "is it running there, and is this its web port?",
            "name not known": self.endpoint.unknown or "check the host name, or whether a VPN or gateway is needed.",
            "not HTTP": "another service listens there: give the web (HTTP) port.",
            "the proxy does not connect": "is it running, does it allow that address and port, does it need a password?",
            "TLS failed": "check http/https, and the trusted certificates (ca, KNIT_CA).",
        }.get(reason, "is there a firewall, a proxy or a gateway between?")
        return ConnectionFailed(
            f"{action}: no answer from {where} ({reason}); {hint}", address=base, action=action, before_sending=before
        )

    def _closed_without_a_word(self, error: requests.RequestException, base: str) -> bool:
        """Whether a server that has never answered closed the connection of a plain request, as those of https do."""
        first = not self._has_answered and base.startswith("http:") and not self.endpoint.proxies.of(base)
        return first and any(name in repr(error) for name in ("without response", "ConnectionResetError"))

    def _through(self, base: str) -> str:
        """An address for messages, with its proxy."""
        proxy = self.endpoint.proxies.of(base)
        return f"{base} through the proxy {without_user(proxy)}" if proxy else base

    def instead(self, base: str) -> str:
        """A sentence that names the server at an address when it is not the expected one; empty when it is not detected."""
        usual = _WEB_PORTS.get(self.endpoint.name)
        found = detect_server(base, self.endpoint.tls, self.endpoint.proxies.by_scheme(base)) if usual else ""
        if not found or found.endswith(f" {self.endpoint.name}"):
            return ""
        return f" This is {found}: the {self.endpoint.name}'s web port is {usual} unless the cluster sets another."

    def error_of(self, response: requests.Response, action: str) -> KnitError:
        """The error for a reply."""
        status, base = response.status_code, base_of(response)
        exception, message = remote_exception(response)
        login = status == 401 and isinstance(self.session.auth, GatewayLogin) and self.session.auth.knows(base)
        where = f"the {'gateway' if login else self.endpoint.name} at {self._through(base)}"
        text = f"{action}: {where} answered {status}" + (f": {message}" if message else "")
        if status in _REDIRECTS:
            text += " (a redirect to another server)"
        # a ResourceManager also replies with 503 and this exception when a request is refused
        refused = exception == "UndeclaredThrowableException" or NO_SUBCLUSTER in message
        unavailable = status in {503, *_REDIRECTS} and not refused
        if exception in _NOT_SERVING or any(mark in message.lower() for mark in _STANDBY) or unavailable:
            return ServiceUnavailable(text, address=base, action=action, not_carried_out=True)
        if (status >= 500 and exception in _FAULTS and not refused) or status in {408, 429}:
            return ServiceUnavailable(text, address=base, action=action)
        kind = RequestRefused  # a named Java exception is a refusal, even with status 500
        if status in {401, 403} or exception in _NOT_ALLOWED:
            kind, text = (
                NotAuthorized,
                f"{text} (as {self.endpoint.auth.user}){login_hint(response, self.endpoint.auth, message)}",
            )
        elif status == 404:
            kind, text = NotFound, text + ("" if exception else self.instead(base))
        return kind(text, status=status, exception=exception, address=base, action=action)


def _encoded(body: Any) -> bytes | None:
    """A body as JSON, with hidden values revealed."""
    return None if body is None else json.dumps(body, default=_revealed).encode()


def _revealed(value: Any) -> Any:
    if isinstance(value, Hidden):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} is not JSON serializable")


def base_of(response: requests.Response) -> str:
    """Scheme, host and port of the server that sent a reply."""
    parts = urlsplit(response.url)
    return f"{parts.scheme}://{parts.netloc}"


def remote_exception(response: requests.Response) -> tuple[str, str]:
    """Name and first message line of Hadoop's RemoteException; else the message of other JSON, or the first line of a text."""
    try:
        found = response.json()
        found = found.get("RemoteException", found)
        return str(found.get("exception", "")), str(found.get("message", "")).strip().split("\n")[0]
    except (ValueError, AttributeError, requests.RequestException):
        pass
    kind = response.headers.get("Content-Type", "")
    if "html" in kind:
        return "", ""
    return "", response.text.strip().split("\n")[0][:300]
