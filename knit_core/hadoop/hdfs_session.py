"""HdfsSession: the session that the `hdfs` library sends its requests with, and operations that the library lacks.

docs/decisions/008-hdfs-library.md lists the operations of each, with the reasons.
"""

from __future__ import annotations

import logging
import posixpath
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from hdfs.util import HdfsError

from knit_core.hadoop.http import HttpService
from knit_core.hadoop.http.failover import Failure
from knit_core.hadoop.http.fault_reasons import reason_of
from knit_core.hadoop.http.service import base_of, remote_exception

log = logging.getLogger(__name__)
#: The server has not carried out the request and will not: another NameNode may.
STANDBY = {"StandbyException", "RetriableException"}
BUSY = {408, 429, 502, 503, 504}
#: The library's URL of HDFS. Not http://…: an address that a reply names never looks like it, also where HttpFS names itself.
ANY_NAMENODE = "namenode:"
_PREFIX = "/webhdfs/v1"


class Refusal(HdfsError):  # type: ignore[misc]  # the library has no types
    """A reply with a status of 400 or above: the library's error, plus status and address of the server."""

    def __init__(self, response: requests.Response, exception: str, message: str) -> None:
        super().__init__(message, exception=exception)
        self.status, self.base = response.status_code, base_of(response)
        self.challenge = response.headers.get("WWW-Authenticate", "")


class NotServing(requests.ConnectionError):
    """A status of `BUSY` without an exception of Hadoop's: the server is starting, stopping or overloaded."""


class HdfsSession(requests.Session):
    """Adds identity, time-outs and headers of an `HttpService` to each request, and raises refusals as errors.

    Requests to `ANY_NAMENODE` go to the addresses of the service in turn, beginning with the one that served last: the library
    gets no other address, so its calls and those of `operate` know the same one. Requests to other URLs, to which a reply has
    led, go there and nowhere else.

    Args:
        http: the NameNodes.
    """

    def __init__(self, http: HttpService) -> None:
        super().__init__()
        self._http = http

    def request(  # type: ignore[override]
        self, method: str, url: str, params: dict[str, Any] | None = None, **options: Any
    ) -> requests.Response:
        """Send a request of the library.

        Raises:
            Refusal: a status of 400 or above; of a standby, when no NameNode serves.
            NotServing: the server is starting, stopping or overloaded.
            HdfsError: the server has not made a folder. The library does not read that reply.
        """
        if url.startswith(ANY_NAMENODE):
            return self._to_namenodes(method, url.removeprefix(ANY_NAMENODE), params, False, options)
        return self._send(method, url, params, options)

    def operate(self, method: str, path: str, *, once: bool = False, **params: str) -> requests.Response:
        """Send an operation that the library has no method for. The next NameNode is tried after a standby or a fault.

        Args:
            method: HTTP verb.
            path: absolute path on HDFS.
            once: never send it again after it may have been carried out, as is done with requests of the library.
            params: `op` and its parameters.

        Raises:
            HdfsError, requests.RequestException: as `request`; of the last NameNode that was tried.
        """
        headers = {"Content-Type": "application/octet-stream"}  # HttpFS refuses PUT without it
        below = _PREFIX + quote(posixpath.normpath(path))
        return self._to_namenodes(method, below, params, once, {"headers": headers})

    def _to_namenodes(
        self, method: str, path: str, params: dict[str, Any] | None, once: bool, options: dict[str, Any]
    ) -> requests.Response:
        def failure_of(error: Exception, base: str) -> Failure | None:
            return _failure(error, base, once)

        action = f"{(params or {}).get('op', method)} {path.removeprefix(_PREFIX)}"
        return self._http.failover.call(
            lambda base: self._send(method, base.rstrip("/") + path, params, options), failure_of, action
        )

    def _send(self, method: str, url: str, params: dict[str, Any] | None, options: dict[str, Any]) -> requests.Response:
        """Send one request to one server, and to where it leads."""
        sent = {**(params or {}), **self._http.endpoint.auth.parameters()}
        operation = sent.get("op", method)
        if operation == "DELETE":
            sent["skiptrash"] = "true"  # Hadoop with HDFS-15982 moves to the trash otherwise; others ignore it
        timeout = self._http.endpoint.timeout
        response = self._http.session.request(method, url, params=sent, **{**options, "timeout": timeout})
        place = urlsplit(url)
        log.debug("%s %s %s%s: %d", operation, method, place.netloc, place.path, response.status_code)
        if response.status_code < 400:
            if operation == "MKDIRS" and not flag(response):
                raise HdfsError(f"{place.path.removeprefix(_PREFIX)} was not made")
            return response
        exception, message = remote_exception(response)
        if response.status_code in BUSY and not exception:
            raise NotServing(f"status {response.status_code}", request=response.request, response=response)
        raise Refusal(response, exception, message or f"status {response.status_code}")


def _failure(error: Exception, base: str, once: bool) -> Failure | None:
    """What an error means for the other NameNodes.

    None for a refusal, and for a fault of a DataNode to which the NameNode has redirected: that NameNode serves.
    """
    if isinstance(error, Refusal):
        if error.exception not in STANDBY or not _same_server(error.base, base):
            return None
        return Failure(error.exception, standby=True, repeatable=True)
    if not isinstance(error, (requests.ConnectionError, requests.Timeout)):
        return None
    if error.request is not None and not _same_server(str(error.request.url), base):
        return None
    reason, before_sending = reason_of(error)
    if isinstance(error, NotServing):
        reason, before_sending = str(error), False
    return Failure(reason, standby=False, repeatable=before_sending or not once)


def _same_server(url: str, base: str) -> bool:
    return urlsplit(url).netloc.lower() == urlsplit(base).netloc.lower()


def flag(response: requests.Response, *, missing: bool = False) -> bool:
    """The boolean of a reply: whether the operation changed something.

    Args:
        response: the reply.
        missing: what an empty body means.
    """
    if not response.content:
        return missing
    return bool(response.json()["boolean"])


__all__ = ["ANY_NAMENODE", "BUSY", "STANDBY", "HdfsSession", "NotServing", "Refusal", "flag"]
