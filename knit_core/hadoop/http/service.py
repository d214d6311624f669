"""HttpService: requests to one service of the cluster that may live at several addresses.

One session per service, shared by all threads, its connections kept alive; no proxy of the environment unless configured
(control traffic to a cluster is local traffic); every fault becomes an error of knit_core.errors that says what was
tried, where and what came back.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping, Sequence
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
from knit_core.hadoop.http.complete_headers import CompleteHeadersAdapter
from knit_core.hadoop.http.recognise import RPC_PORT, answers_at, is_rpc_port
from knit_core.hadoop.http.retry import RetryPolicy
from knit_core.model.representation import shown

log = logging.getLogger(__name__)
_WEB_PORTS = {"ResourceManager": "8088 (https: 8090)", "NameNode": "9870 (https: 9871)"}
_FIRST_CONTACT = 2.0  # seconds
_KEPT = 32  # connections to one address at most that stay open: what threads at once have needed
_REDIRECTS = (301, 302, 303, 307, 308)
_WAIT = {"StandbyException", "RetriableException", "SafeModeException"}
_FAULTS = {"", "IOException", "WebApplicationException", "YarnException", "ConnectException"}
_STANDBY = ("this is standby rm", "standbyexception", "state standby")


@shown
@dataclass(frozen=True)
class Endpoint:
    """Where a service is and how to speak to it.

    Attributes:
        name: what people call it ("ResourceManager").
        addresses: base URLs, asked in turn after a connection failure or a standby's answer.
        auth: identity.
        verify: True, or the path of a CA bundle, or False.
        timeout: (connect, read) seconds.
        proxies: those that are configured; the environment's are ignored.
        unknown: what to say when a host's name is not known, instead of the usual hint.
    """

    name: str
    addresses: tuple[str, ...]
    auth: AuthStrategy
    verify: bool | str = True
    timeout: tuple[float, float] = (5.0, 30.0)
    proxies: Proxies = field(default_factory=Proxies)
    unknown: str = ""


@dataclass(frozen=True)
class _Call:
    """One request, as it goes to each address in turn."""

    method: str
    path: str
    action: str
    params: Mapping[str, str]
    data: bytes | None = field(repr=False)
    headers: Mapping[str, str]
    expect: Sequence[int]
    stream: bool
    safe: bool


class RpcPort(requests.RequestException):
    """What answers is one of Hadoop's RPC ports, not a web server."""


class _Session(requests.Session):
    """A session that asks for each request, redirected ones too, which proxy it goes through."""

    def __init__(self, proxies: Proxies) -> None:
        super().__init__()
        self._chosen = proxies

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return {**settings, "proxies": self._chosen.by_scheme(str(url))}

    def rebuild_proxies(self, prepared_request: Any, proxies: Any) -> Any:
        chosen = self._chosen.by_scheme(str(prepared_request.url))
        return super().rebuild_proxies(prepared_request, chosen)  # type: ignore[no-untyped-call]


class HttpService:
    """Sends requests to an `Endpoint`; thread-safe.

    All threads share one session: a launch makes threads for its questions, and connections must not end with them.
    """

    def __init__(self, endpoint: Endpoint, retry: RetryPolicy | None = None) -> None:
        self.endpoint = endpoint
        self.retry = retry or RetryPolicy()
        self._current = 0
        self._answered = False
        self._session: requests.Session | None = None
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        """The address that is asked first just now."""
        return self.endpoint.addresses[self._current % len(self.endpoint.addresses)]

    @property
    def session(self) -> requests.Session:
        """The session, configured; the `hdfs` library uses it as well."""
        with self._lock:
            if self._session is None:
                self._session = self.new_session()
            return self._session

    def new_session(self) -> requests.Session:
        """A configured session of the caller's own, which the caller closes."""
        session = _Session(self.endpoint.proxies)
        for scheme in ("http://", "https://"):
            session.mount(scheme, CompleteHeadersAdapter(pool_maxsize=_KEPT))
        session.trust_env = False
        session.verify = self.endpoint.verify
        session.hooks["response"].append(_no_rpc_port)
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
            action: what this does, for error messages ("submit application_…").
            params: query parameters besides the identity's.
            body: sent as JSON when it is not None.
            headers: additional ones.
            idempotent: whether a repetition is harmless; by default for GET, HEAD and PUT.
            expect: statuses of success.
            retry: instead of the service's own policy.
            stream: do not read the body yet.

        Raises:
            ConnectionFailed, ServiceUnavailable: transient, after the retries.
            RequestRefused, NotAuthorized, NotFound, UnexpectedReply: at once.
        """
        safe = method in {"GET", "HEAD", "PUT"} if idempotent is None else idempotent
        sent = dict(headers or {})
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        call = _Call(method, path, action, params or {}, _encoded(body), sent, expect, stream, safe)
        return self.policy(retry).call(lambda: self._over_addresses(call), idempotent=safe)

    def policy(self, retry: RetryPolicy | None = None) -> RetryPolicy:
        """The policy to use now: who never answered is more likely a wrong address than a restarting server."""
        chosen = retry or self.retry
        return chosen if self._answered else replace(chosen, budget=min(chosen.budget, _FIRST_CONTACT), tries=1)

    def get_json(self, path: str, *, action: str, params: Mapping[str, str] | None = None, **options: Any) -> Any:
        """GET `path` and return its JSON."""
        return self.json_of(self.request("GET", path, action=action, params=params, **options), action)

    def json_of(self, response: requests.Response, action: str) -> Any:
        """The reply's JSON; UnexpectedReply when it is something else (a login page, say)."""
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
        """Close all connections; a later request makes new ones."""
        with self._lock:
            if self._session is not None:
                self._session.close()

    def _over_addresses(self, call: _Call) -> requests.Response:
        """Ask each address once, beginning with the one that answered last."""
        count = len(self.endpoint.addresses)
        for remaining in range(count, 0, -1):
            base = self.address
            try:
                response = self._send(base, call)
                if response.status_code in call.expect:
                    return response
                raise self.error_of(response, call.action)
            except (ConnectionFailed, ServiceUnavailable) as error:
                self._current = (self._current + 1) % count
                untouched = getattr(error, "before_sending", False) or getattr(error, "not_carried_out", False)
                if remaining == 1 or not (call.safe or untouched):
                    raise
                log.info("%s: %s; the next address is %s", call.action, error, self.address)
        raise AssertionError("an endpoint has at least one address")

    def _send(self, base: str, call: _Call) -> requests.Response:
        try:
            response = self.session.request(
                call.method,
                base.rstrip("/") + call.path,
                params={**self.endpoint.auth.parameters(), **call.params},
                data=call.data,
                headers=call.headers,
                timeout=self.endpoint.timeout,
                stream=call.stream,
                allow_redirects=call.method == "GET",
            )
        except requests.RequestException as error:
            raise self.broken(error, base, call.action) from None
        self._answered = True
        log.debug("%s %s%s: %d", call.method, base, call.path, response.status_code)
        return response

    def broken(self, error: requests.RequestException, base: str, action: str, *, name: str | None = None) -> KnitError:
        """The error for a request that got no reply; the original's text may hold a URL with secrets, so it is not quoted.

        Args:
            error: what happened.
            base: scheme, host and port that the request went to.
            action: what it was for.
            name: of what was asked, where that is not the endpoint itself ("DataNode").
        """
        if isinstance(error, RpcPort):
            usual = _WEB_PORTS.get(name or self.endpoint.name)
            hint = (
                f": the {self.endpoint.name}'s web port is {usual} unless the cluster sets another." if usual else "."
            )
            return UnexpectedReply(f"{action}: {base} is {RPC_PORT}{hint}", address=base, action=action)
        reason, before = _reason(error)
        where = f"the {name or self.endpoint.name} at {self._route(base)}"
        hint = {
            "connection refused": "is it running there, and is this its web port?",
            "name not known": self.endpoint.unknown or "check the host name, or whether a VPN or gateway is needed.",
            "not HTTP": "something else listens there: give the service's web (HTTP) port.",
            "the proxy does not connect": "does it run, may it connect to that address and port, does it want a password?",
            "TLS failed": "check http/https, and the CA bundle (KNIT_CA).",
        }.get(reason, "is there a firewall, a proxy or a gateway between?")
        return ConnectionFailed(
            f"{action}: no answer from {where} ({reason}); {hint}", address=base, action=action, before_sending=before
        )

    def _route(self, base: str) -> str:
        """An address in words, with the proxy on the way there."""
        proxy = self.endpoint.proxies.of(base)
        return f"{base} through the proxy {without_user(proxy)}" if proxy else base

    def instead(self, base: str) -> str:
        """A sentence that says what answers at an address instead of what was meant; empty when that cannot be told."""
        usual = _WEB_PORTS.get(self.endpoint.name)
        found = answers_at(base, self.endpoint.verify, self.endpoint.proxies.by_scheme(base)) if usual else ""
        if not found or found.endswith(f" {self.endpoint.name}"):
            return ""
        return f" This is {found}: the {self.endpoint.name}'s web port is {usual} unless the cluster sets another."

    def error_of(self, response: requests.Response, action: str) -> KnitError:
        """The error that a reply means: the one function from wire to exception."""
        status, base = response.status_code, base_of(response)
        exception, message = remote_exception(response)
        where = f"the {self.endpoint.name} at {self._route(base)}"
        text = f"{action}: {where} answered {status}" + (f": {message}" if message else "")
        if status in _REDIRECTS:
            text += " (a redirect to another server)"
        # 503 is also what a ResourceManager says for an exception that it does not tell
        away = status in {503, *_REDIRECTS} and exception != "UndeclaredThrowableException"
        if exception in _WAIT or any(mark in message.lower() for mark in _STANDBY) or away:
            return ServiceUnavailable(text, address=base, action=action, not_carried_out=True)
        if (status >= 500 and exception in _FAULTS) or status in {408, 429}:
            return ServiceUnavailable(text, address=base, action=action)
        kind = RequestRefused  # a Java exception by its own name is a refusal, although the status may say 500
        if status in {401, 403} or exception in {"AccessControlException", "SecurityException"}:
            kind, text = NotAuthorized, f"{text} (as {self.endpoint.auth.user})"
        elif status == 404:
            kind, text = NotFound, text + ("" if exception else self.instead(base))
        return kind(text, status=status, exception=exception, address=base, action=action)


def _encoded(body: Any) -> bytes | None:
    """A body as JSON; what is hidden in it is revealed here."""
    return None if body is None else json.dumps(body, default=_revealed).encode()


def _revealed(value: Any) -> Any:
    if isinstance(value, Hidden):
        return value.reveal()
    raise TypeError(f"JSON cannot say {type(value).__name__}")


def _no_rpc_port(response: requests.Response, *_args: Any, **_options: Any) -> None:
    """Refuses what an RPC port of Hadoop's answers; its body cannot be read to the end.

    Raises:
        RpcPort: it is one.
    """
    if is_rpc_port(response):
        response.close()
        raise RpcPort("not a web port", request=response.request)


def base_of(response: requests.Response) -> str:
    """Scheme, host and port of the server that answered."""
    parts = urlsplit(response.url)
    return f"{parts.scheme}://{parts.netloc}"


def remote_exception(response: requests.Response) -> tuple[str, str]:
    """Hadoop's RemoteException: (name, first line of the message); else another JSON's message, or the start of a text."""
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


def _reason(error: requests.RequestException) -> tuple[str, bool]:
    """(what went wrong in words, whether surely nothing had been sent)."""
    text = repr(error)
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not connect", True
    if isinstance(error, requests.exceptions.SSLError):
        return "TLS failed", True
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "connecting took too long", True
    if isinstance(error, requests.exceptions.ReadTimeout):
        return "no reply in time", False
    if "NameResolutionError" in text or "gaierror" in text:
        return "name not known", True
    if "Connection refused" in text:
        return "connection refused", True
    if "NewConnectionError" in text:
        return "no route", True
    if "BadStatusLine" in text or "InvalidHeader" in text:
        return "not HTTP", False
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)):
        return "not an http:// or https:// address", True
    return "the connection broke", False
