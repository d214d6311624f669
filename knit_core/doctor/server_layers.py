"""The layers of one service, the ResourceManager or HDFS: name, port, TLS, HTTP, who answers, authentication.

A service may have several addresses. A layer works when it works for one of them; the next layer is then checked for those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import requests

from knit_core.doctor import probes
from knit_core.doctor.probes import Target
from knit_core.doctor.runner import Finding, Runner, in_threads
from knit_core.errors import ConfigError, ConnectionFailed, NotAuthorized, UnexpectedReply
from knit_core.hadoop.http import ActingFor, BasicAuth, DetectedAuth, HttpService, KerberosAuth, TokenAuth
from knit_core.hadoop.http.retry import NEVER
from knit_core.hadoop.http.tls import SPEAKS_TLS
from knit_core.model.connection_layers import AUTHENTICATION, DNS, HTTP, SERVER, TCP, TLS, Layer, LayerCheck

T = TypeVar("T")
_GRACE = 0.3  # seconds; less than that of knit_core.doctor.runner


@dataclass(frozen=True)
class Service:
    """A service to check.

    Attributes:
        server: its name in the results.
        http: its requests.
        path: path and query of a request that needs no identity where the service needs none.
        identify: says, given requests to one address, what answers there. Raises KnitError when it is another server.
    """

    server: str
    http: HttpService
    path: str
    identify: Callable[[HttpService], str]


@dataclass(frozen=True)
class _Reply:
    """A reply to a request without identity: its status, what a 401 asks for, and where it leads."""

    status: int
    challenge: str = ""
    location: str = ""

    def __str__(self) -> str:
        words = f"status {self.status}"
        if self.challenge:
            words += f", asks for {self.challenge}"
        return f"{words}, leads to {self.location}" if self.location else words


@dataclass
class _Outcomes(Generic[T]):
    """What a check returned or raised for each address, and the seconds that it took."""

    seconds: float = 0.0
    good: dict[str, T] = field(default_factory=dict)
    bad: dict[str, Exception] = field(default_factory=dict)

    @property
    def error(self) -> Exception:
        """The error of the first address, when none works."""
        return next(iter(self.bad.values()))

    @property
    def faults(self) -> tuple[str, ...]:
        """A line for each address that does not work, where there are several."""
        if len(self.good) + len(self.bad) < 2:
            return ()
        return tuple(f"{base} is not used: {error or 'no answer in time'}" for base, error in self.bad.items())

    def finding(self) -> Finding | Exception:
        """What was found, with the addresses that do not work among the details; the error when none works."""
        if not self.good:
            return self.error
        several = len(self.good) + len(self.bad) > 1
        texts, remedies = [], []
        for base, found in self.good.items():
            words, remedy = found if isinstance(found, tuple) else (str(found), "")
            texts.append(f"{base}: {words}" if several else words)
            remedies.append(remedy)
        return Finding("; ".join(texts), next(filter(None, remedies), ""), self.faults)


class ServerCheck:
    """Checks the layers of one service.

    Args:
        run: runs the checks.
        service: the service.
    """

    def __init__(self, run: Runner, service: Service) -> None:
        self._run, self._service = run, service
        self._targets = [probes.target_of(service.http, base) for base in service.http.endpoint.addresses]

    def layers(self) -> Iterator[LayerCheck]:
        """The results, until the first that fails."""
        http, timeout, now = self._service.http, self._run.timeout, self._run.clock.time()
        names = self._over(DNS, lambda target: probes.resolve(http, target))
        yield self._result(DNS, names)
        if not names.good:
            return
        ports = self._over(TCP, lambda target: probes.connect(http, target, timeout))
        yield self._result(TCP, ports)
        if not ports.good:
            return
        handshakes: _Outcomes[tuple[str, str]] | None = None
        if all(target.secure and not target.proxy for target in self._targets):
            handshakes = self._over(TLS, lambda target: probes.shake_hands(http, target, timeout, now))
        if handshakes is None or handshakes.good:
            replies = self._over(HTTP, self._ask)
            tls = self._tls(handshakes, replies)
            yield tls
            if tls.ok is not False:
                yield from self._above_tls(replies)
        else:
            yield self._result(TLS, handshakes)

    def _tls(self, handshakes: _Outcomes[tuple[str, str]] | None, replies: _Outcomes[_Reply]) -> LayerCheck:
        """The result for TLS. Only the reply tells whether a server without it was right to be asked so, whether the proxy's
        way is secure, and whether the server wants a client certificate."""
        server = self._service.server
        if not replies.good and (SPEAKS_TLS in str(replies.error) or "(TLS failed)" in str(replies.error)):
            return self._run.result(TLS, replies.error, server, replies.seconds)
        if handshakes is not None:
            return self._result(TLS, handshakes)
        secure = any(base.startswith("https:") for base in (*replies.good, *replies.bad))
        words = "verified through the proxy" if secure else "not used: the address begins with http://"
        return self._run.result(TLS, Finding(words, applies=secure), server, 0.0)

    def _above_tls(self, replies: _Outcomes[_Reply]) -> Iterator[LayerCheck]:
        server = self._service.server
        if not replies.good and isinstance(replies.error, UnexpectedReply):  # an RPC port answers HTTP with advice
            yield self._run.result(HTTP, Finding("it answers, though not as a web server"), server, replies.seconds)
            yield self._run.result(SERVER, replies.error, server, 0.0)
            return
        yield self._result(HTTP, replies)
        if replies.good:
            yield from self._identity(replies)

    def _identity(self, replies: _Outcomes[_Reply]) -> Iterator[LayerCheck]:
        """Who answers, and the authentication, which comes first where the server asks for it before it tells anything."""
        run, server = self._run, self._service.server
        challenge = next((reply.challenge for reply in replies.good.values() if reply.challenge), "")

        def identify(target: Target) -> str:
            with closing(self._at(target.base)) as http:
                return self._service.identify(http)

        found = self._over(SERVER, identify)
        if found.good:
            yield self._result(SERVER, found)
            yield run.check(AUTHENTICATION, lambda: Finding(_identity_in_words(self._service.http)), server)
        elif isinstance(found.error, NotAuthorized) or (
            challenge and isinstance(found.error, (ConnectionFailed, ConfigError))
        ):
            text = "a server that asks who we are before it tells what it is"
            yield run.result(SERVER, Finding(text), server, 0.0)
            run.begin(AUTHENTICATION, server)
            yield run.result(AUTHENTICATION, found.error, server, found.seconds)
        else:
            yield self._result(SERVER, found)

    def _ask(self, target: Target) -> _Reply:
        """Send a request without identity, and read the head of the reply."""
        with closing(self._at(target.base)) as http, closing(http.new_session()) as session:
            session.auth = None
            try:
                reply = session.get(
                    target.base.rstrip("/") + self._service.path,
                    timeout=self._run.timeout,
                    allow_redirects=False,
                    stream=True,
                )
            except requests.RequestException as error:
                raise http.broken(error, target.base, "send a request") from None
            with reply:
                if reply.status_code == 407:
                    raise http.broken(requests.exceptions.ProxyError(), target.base, "send a request")
                challenge = reply.headers.get("WWW-Authenticate", "") if reply.status_code == 401 else ""
                return _Reply(reply.status_code, challenge.partition(" ")[0], reply.headers.get("Location", ""))

    def _at(self, base: str) -> HttpService:
        """Requests to one address only, never repeated."""
        return HttpService(replace(self._service.http.endpoint, addresses=(base,), others=None), NEVER)

    def _over(self, layer: Layer, call: Callable[[Target], T]) -> _Outcomes[T]:
        """Check all addresses at the same time, and keep those that work for the next layer."""
        begun = self._run.begin(layer, self._service.server)
        found = in_threads(self._targets, call, self._run.timeout + _GRACE)
        outcomes: _Outcomes[T] = _Outcomes(self._run.clock.monotonic() - begun)
        for target, each in zip(self._targets, found, strict=True):
            if isinstance(each, Exception):
                outcomes.bad[target.base] = each
            else:
                outcomes.good[target.base] = each
        self._targets = [target for target in self._targets if target.base in outcomes.good]
        return outcomes

    def _result(self, layer: Layer, outcomes: _Outcomes[T]) -> LayerCheck:
        result = self._run.result(layer, outcomes.finding(), self._service.server, outcomes.seconds)
        return replace(result, details=outcomes.faults)


def _identity_in_words(http: HttpService) -> str:
    """By what the requests of a service prove or state who the user is."""
    auth, others = http.endpoint.auth, ""
    if isinstance(auth, ActingFor):
        auth, others = auth.auth, f", acting for {auth.user}"
    if isinstance(auth, DetectedAuth):
        auth = auth.present
    if isinstance(auth, KerberosAuth):
        return f"Kerberos, as {auth.tickets.principal(http.address)} from {auth.tickets.source}{others}"
    if isinstance(auth, TokenAuth):
        return f"token of user {auth.user}{others}"
    if isinstance(auth, BasicAuth):
        return f"basic: user {auth.user} and a password{others}"
    return f"simple: requests state the user {auth.user}, without proof{others}"


__all__ = ["ServerCheck", "Service"]
