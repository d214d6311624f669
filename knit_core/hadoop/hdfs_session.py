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
from knit_core.hadoop.http.fault_reasons import reason_of
from knit_core.hadoop.http.service import base_of, remote_exception

log = logging.getLogger(__name__)
#: The server has not carried out the request and will not: another NameNode may.
STANDBY = {"StandbyException", "RetriableException"}
BUSY = {408, 429, 502, 503, 504}
_PREFIX = "/webhdfs/v1"


class Refusal(HdfsError):  # type: ignore[misc]  # the library has no types
    """A reply with a status of 400 or above: the library's error, plus status and address of the server."""

    def __init__(self, response: requests.Response, exception: str, message: str) -> None:
        super().__init__(message, exception=exception)
        self.status, self.base = response.status_code, base_of(response)


class NotServing(requests.ConnectionError):
    """A status of `BUSY` without an exception of Hadoop's: the server is starting, stopping or overloaded.

    A kind of ConnectionError, because the library tries the next NameNode after those.
    """


class HdfsSession(requests.Session):
    """Adds identity, time-outs and headers of an `HttpService` to each request, and raises refusals as errors.

    Args:
        http: the NameNodes.
    """

    def __init__(self, http: HttpService) -> None:
        super().__init__()
        self._http = http
        self._current = 0  # the address that served last

    def request(  # type: ignore[override]
        self, method: str, url: str, params: dict[str, Any] | None = None, **options: Any
    ) -> requests.Response:
        """Send a request of the library.

        Raises:
            Refusal: a status of 400 or above, except for a standby's, which is returned: the library tries the next NameNode.
            NotServing: the server is starting, stopping or overloaded.
            HdfsError: the server has not made a folder. The library does not read that reply.
        """
        sent = {**(params or {}), **self._http.endpoint.auth.parameters()}
        operation = sent.get("op", method)
        if operation == "DELETE":
            sent["skiptrash"] = "true"  # Hadoop with HDFS-15982 moves to the trash otherwise; others ignore it
        options["timeout"] = self._http.endpoint.timeout
        response = self._http.session.request(method, url, params=sent, **options)
        place = urlsplit(url)
        log.debug("%s %s %s%s: %d", operation, method, place.netloc, place.path, response.status_code)
        if response.status_code < 400:
            if operation == "MKDIRS" and not flag(response):
                raise HdfsError(f"{place.path.removeprefix(_PREFIX)} was not made")
            return response
        exception, message = remote_exception(response)
        if exception in STANDBY:
            return response
        if response.status_code in BUSY and not exception:
            raise NotServing(f"status {response.status_code}", request=response.request, response=response)
        raise Refusal(response, exception, message or f"status {response.status_code}")

    def operate(self, method: str, path: str, *, once: bool = False, **params: str) -> requests.Response:
        """Send an operation that the library has no method for. The next NameNode is tried after a standby or a fault.

        Args:
            method: HTTP verb.
            path: absolute path on HDFS.
            once: never send it again after it may have been carried out, as the library does after a lost reply.
            params: `op` and its parameters.

        Raises:
            HdfsError, requests.RequestException: as `request`; of the last NameNode that was tried.
        """
        addresses = self._http.endpoint.addresses
        first = self._current  # other threads may change it
        for at in range(first, first + len(addresses)):
            base = addresses[at % len(addresses)].rstrip("/")
            headers = {"Content-Type": "application/octet-stream"}  # HttpFS refuses PUT without it
            try:
                response = self.request(
                    method, f"{base}{_PREFIX}{quote(posixpath.normpath(path))}", params, headers=headers
                )
                if response.status_code < 400:
                    return response
                raise Refusal(response, *remote_exception(response))
            except (requests.ConnectionError, requests.Timeout, Refusal) as error:
                standby = isinstance(error, Refusal) and error.exception in STANDBY
                if isinstance(error, Refusal) and not standby:
                    raise
                self._current = at + 1
                if at + 1 == first + len(addresses) or (once and not standby and not _never_sent(error)):
                    raise
        raise AssertionError("an endpoint has at least one address")


def _never_sent(error: Exception) -> bool:
    """Whether no byte of the request can have reached the server."""
    return isinstance(error, requests.RequestException) and not isinstance(error, NotServing) and reason_of(error)[1]


def flag(response: requests.Response, *, missing: bool = False) -> bool:
    """The boolean of a reply: whether the operation changed something.

    Args:
        response: the reply.
        missing: what an empty body means.
    """
    if not response.content:
        return missing
    return bool(response.json()["boolean"])


__all__ = ["BUSY", "STANDBY", "HdfsSession", "NotServing", "Refusal", "flag"]
