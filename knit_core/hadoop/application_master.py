"""Signed calls to an application's ApplicationMaster: directly, or through the ResourceManager's proxy.

Errors name the stage that failed on each route. Attempt number and clock are corrected from the ApplicationMaster's signed
reply.
"""

from __future__ import annotations

import base64
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests

from knit_container.signing import BadReply, encode_body, open_reply, query_string, sign
from knit_core.errors import KnitError, MasterUnreachable, NotAuthorized, NotFound, RequestRefused, ServiceUnavailable
from knit_core.hadoop.http import AuthStrategy, DirectTransport
from knit_core.model.clock import Clock
from knit_core.model.report import ApplicationReport
from knit_core.monitoring.wait import RETRY_TIMEOUT

log = logging.getLogger(__name__)
_CONNECT, _READ = 3.0, 30.0  # seconds
_CORRECTIONS = 3
_FIRST_PAUSE = 0.1  # seconds between two rounds over all routes, doubled each time
_MAX_PAUSE, _MAX_LATE_PAUSE = 0.5, 2.0  # its maximum within the first `_EARLY` seconds, and afterwards
_EARLY = 30.0
_DEMOTED, _MAX_DEMOTED = 0.5, 15.0  # seconds for which a route comes last after a failure, doubled each time
_SLOW_DEMOTED, _MAX_SLOW_DEMOTED = 15.0, 300.0  # the same after a time-out of connecting (`_CONNECT` seconds)
NO_PROXY = "the gateway's service RESOURCEMANAGER does not lead to applications: Knox needs the service YARNUI for that"
_FIRST_CONTACT = 5.0  # seconds of retries for an address that was never reached: most likely no route leads there


class ApplicationMasterClient:
    """One application's API.

    Args:
        app_id: the application.
        secret: returns the application's secret.
        locate: returns the ResourceManager's present report of the application.
        direct: for calls to the ApplicationMaster's own address; their only identity is the signature.
        session: for calls through the ResourceManager's proxy.
        auth: identity for that proxy.
        retry_timeout: default of `call`: seconds of retries while an ApplicationMaster that was reached before restarts.
        clock: for deadlines and pauses.
        connect: seconds for a connection.
    """

    def __init__(
        self,
        app_id: str,
        secret: Callable[[], bytes],
        locate: Callable[[], ApplicationReport],
        direct: DirectTransport,
        session: Callable[[], requests.Session],
        auth: AuthStrategy,
        retry_timeout: float = RETRY_TIMEOUT,
        clock: Clock = time,
        connect: float = _CONNECT,
    ) -> None:
        self.app_id = app_id
        self._secret, self._locate, self._direct, self._session, self._auth = secret, locate, direct, session, auth
        self._retry_timeout, self._clock, self._connect = retry_timeout, clock, connect
        self._routes: list[str] = []
        self._failed: dict[str, tuple[float, float]] = {}  # by route: until when it comes last, and for how long
        self._attempt = 1
        self._skew = 0
        self._reached = False
        self._allowed = 0.0  # maximum seconds of retries, by the last report
        self._lock = threading.Lock()

    def get(
        self, path: str, query: dict[str, str] | None = None, wait: float = 0.0, retry_timeout: float | None = None
    ) -> Any:
        """GET `/api/v1` + path."""
        return self.call("GET", path, None, query, wait, retry_timeout)

    def put(self, path: str, body: Any) -> Any:
        """PUT JSON to `/api/v1` + path."""
        return self.call("PUT", path, body)

    def log_files(self, container: str) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
        """The log files of a container, read from its node by the ApplicationMaster.

        Args:
            container: YARN's id, `main_0`, or `master`.

        Returns:
            bytes of each file on the node, and for each file the sizes of the parts that rolling aggregation has uploaded,
            oldest first.

        Raises:
            MasterUnreachable: it cannot be reached now; this call does not wait for a restart.
            RequestRefused: it cannot read them; `.reply` has the reason.
        """
        reply = self.get(f"/containers/{container}/logs", retry_timeout=0)
        return reply["files"], {name: tuple(sizes) for name, sizes in reply["uploaded"].items()}

    def read_log(self, container: str, name: str, offset: int, size: int) -> tuple[bytes, int]:
        """A part of a log file, at most 128 KiB.

        Args:
            container, name: the file; see `log_files`.
            offset: of the first byte.
            size: bytes of the file as far as known; a wrong number only costs time.

        Returns:
            the bytes, none if the file ends before `offset`, and the number of bytes of the file.

        Raises:
            MasterUnreachable, RequestRefused: as `log_files`.
        """
        query = {"offset": str(offset), "size": str(size)}
        reply = self.get(f"/containers/{container}/logs/{_base64(name.encode())}", query, retry_timeout=0)
        data = str(reply["data"])
        return base64.urlsafe_b64decode(data + "=" * (-len(data) % 4)), int(reply["size"])

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: dict[str, str] | None = None,
        wait: float = 0.0,
        retry_timeout: float | None = None,
    ) -> Any:
        """Send one call over the known routes, and repeat it while the ApplicationMaster restarts.

        Args:
            method, path, body, query: the request, which must be idempotent; path below `/api/v1`.
            wait: seconds that the ApplicationMaster may hold the reply (a long poll).
            retry_timeout: seconds of retries, from the first failure on, while an ApplicationMaster that was reached before
                restarts; None: the client's default.

        Raises:
            MasterUnreachable: all routes failed; `.stages` has the reasons.
            RequestRefused, NotFound, NotAuthorized: the ApplicationMaster refused.
        """
        raw = b"" if body is None else encode_body(body)
        failing_since, pause, use_known = None, _FIRST_PAUSE, True
        limit = self._retry_timeout if retry_timeout is None else retry_timeout
        while True:
            stages: list[str] = []
            found, reply = self._over_routes(stages, use_known, method, f"/api/v1{path}", query or {}, raw, wait)
            if found:
                return reply
            now = self._clock.monotonic()
            failing_since = now if failing_since is None else failing_since
            waited = now - failing_since
            if waited >= min(limit, self._allowed):
                raise MasterUnreachable(self.app_id, list(dict.fromkeys(stages)))
            self._clock.sleep(pause)
            pause, use_known = min(2 * pause, _MAX_PAUSE if waited < _EARLY else _MAX_LATE_PAUSE), False

    def _over_routes(
        self, stages: list[str], use_known: bool, method: str, path: str, query: dict[str, str], raw: bytes, wait: float
    ) -> tuple[bool, Any]:
        """Try each route once: the best known one, then all routes of a new report of the ResourceManager.

        The report is fetched before the other known routes are tried: the proxy is slow to fail when a node is gone.
        """
        tried: list[str] = []
        for update in (False, True) if use_known and self._routes else (True,):
            if update and self._update_routes(stages):
                tried = []
            for route in self._ordered()[: None if update else 1]:
                if route in tried:
                    continue
                tried.append(route)
                try:
                    reply = self._corrected(route, method, path, query, raw, wait)
                except (requests.RequestException, BadReply, ServiceUnavailable) as error:
                    self._demote(route, error)
                    stages.append(f"{_kind(route)} {_host(route)}: {_stage(error, self._connect)}")
                    continue
                with self._lock:
                    self._failed.pop(route, None)
                    self._reached = True
                return True, reply
        return False, None

    def _ordered(self) -> list[str]:
        """The direct route, then the proxy; last the routes that have failed recently."""
        now = self._clock.monotonic()
        with self._lock:
            return sorted(self._routes, key=lambda route: self._failed.get(route, (now, 0.0))[0] > now)

    def _demote(self, route: str, error: Exception) -> None:
        """Put a route last for a limited time. The direct route is tried again, as it puts no load on the ResourceManager."""
        slow = isinstance(error, requests.ConnectTimeout)
        first, longest = (_SLOW_DEMOTED, _MAX_SLOW_DEMOTED) if slow else (_DEMOTED, _MAX_DEMOTED)
        with self._lock:
            before = self._failed.get(route, (0.0, 0.0))[1]
            pause = min(longest, max(first, 2 * before))
            self._failed[route] = self._clock.monotonic() + pause, pause

    def _update_routes(self, stages: list[str]) -> bool:
        """Fetch a report; True when routes or attempt have changed, or the ResourceManager does not answer."""
        try:
            report = self._locate()
        except KnitError as error:
            if not error.transient or not self._reached:
                raise
            stages.append("the ResourceManager does not answer, so its present address is not known")
            with self._lock:
                self._allowed = math.inf
            return True
        routes = []
        if report.ended:
            stages.append(f"the application has ended ({report.outcome})")
        else:
            routes += [f"http://{report.master}"] if report.master else []
            encrypted = "?" in report.tracking_url  # by Knox's service RESOURCEMANAGER: it leads to MapReduce only
            routes += [report.tracking_url.rstrip("/")] if report.tracking_url and not encrypted else []
            if encrypted:
                stages.append(NO_PROXY)
            if not routes:
                wait = "Application.wait_until_ready() waits for it"
                stages.append(f"it has no address yet (state {report.state}; {wait})")
        with self._lock:
            attempt = report.attempt or self._attempt
            changed = routes != self._routes or attempt != self._attempt
            if changed:
                self._routes, self._attempt, self._failed = routes, attempt, {}
            # reached before, or a later attempt: it restarts. No address: it has not started
            restarts = not report.ended and (self._reached or report.attempt > 1)
            self._allowed = math.inf if restarts else _FIRST_CONTACT if routes else 0.0
        return changed

    def _corrected(self, route: str, method: str, path: str, query: dict[str, str], raw: bytes, wait: float) -> Any:
        for _ in range(_CORRECTIONS):
            status, reply = self._send(route, method, path, query, raw, wait)
            code = reply.get("error") if isinstance(reply, dict) else None
            if status < 300 and code is None:
                return reply
            if code == "stale":
                with self._lock:
                    self._skew = int(reply["time"]) - int(self._clock.time() * 1000)
                    self._attempt = int(reply["attempt"])
                continue
            raise self._refusal(status, reply, method, path)
        raise ServiceUnavailable("its clock or attempt number changes at every call")

    def _send(
        self, route: str, method: str, path: str, query: dict[str, str], raw: bytes, wait: float
    ) -> tuple[int, Any]:
        secret = self._secret()
        now = int(self._clock.time() * 1000) + self._skew
        signed = sign(secret, "client", self._attempt, method, path, query, raw, now_ms=now)
        timeout = (self._connect, min(_READ, self._retry_timeout) + wait)
        if _is_direct(route):
            status, content = self._direct.send(method, f"{route}{path}?{query_string(signed)}", raw, timeout)
        else:
            response = self._session().request(
                method,
                f"{route}{path}?{query_string({**signed, **self._auth.parameters()})}",
                data=raw or None,
                headers={"Content-Type": "application/json"} if raw else {},
                timeout=timeout,
                allow_redirects=False,
            )
            status, content = response.status_code, response.content
        log.debug("%s %s%s: %d", method, route, path, status)  # the query has the signature
        return status, open_reply(secret, signed["knonce"], status, content)

    def _refusal(self, status: int, reply: Any, method: str, path: str) -> KnitError:
        message = reply.get("message") if isinstance(reply, dict) else reply
        text = f"{method} {path}: the ApplicationMaster of {self.app_id} refused ({status}): {message}"
        kind = {401: NotAuthorized, 403: NotAuthorized, 404: NotFound}.get(status, RequestRefused)
        if status >= 500:
            return ServiceUnavailable(text)
        return kind(text, status=status, reply=reply)


def _base64(raw: bytes) -> str:
    """base64url without padding, which the ResourceManager's proxy does not change."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _is_direct(route: str) -> bool:
    return not urlsplit(route).path.strip("/")


def _kind(route: str) -> str:
    return "directly at" if _is_direct(route) else "through the proxy at"


def _host(route: str) -> str:
    return urlsplit(route).netloc


def _stage(error: Exception, connect: float) -> str:
    """The stage that failed: DNS, TCP, HTTP, signature. The text of the error may contain the signed URL and is not quoted."""
    text = repr(error)
    if isinstance(error, (BadReply, ServiceUnavailable)):
        return str(error)
    if "NameResolutionError" in text or "gaierror" in text:
        return "the host name cannot be resolved here (DNS)"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"no connection within {connect:g} s (TCP: a firewall?)"
    if "refused" in text:
        return "connection refused (TCP)"
    if isinstance(error, requests.exceptions.ReadTimeout):
        return "no reply in time (HTTP)"
    return "the connection broke (HTTP)"
