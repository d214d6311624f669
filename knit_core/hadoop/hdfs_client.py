"""The `hdfs` library's client over our session, and what replies of WebHDFS mean."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

import requests
from hdfs.client import Client
from hdfs.util import HdfsError

from knit_core.hadoop.http import HttpService
from knit_core.hadoop.http.service import base_of, remote_exception

log = logging.getLogger(__name__)
_STANDBY = {"StandbyException", "RetriableException"}  # the library asks the next NameNode
TRANSIENT = {*_STANDBY, "SafeModeException"}
# What servers say while something behind them restarts or is gone: a DataNode that cannot reach the NameNode, HttpFS the
# same, a pipeline of DataNodes that broke. A plain IOException may be that, or a refusal: see `passes`.
_FAULTS = {
    "EOFException", "SocketException", "SocketTimeoutException", "ConnectException", "ConnectTimeoutException",
    "NoRouteToHostException", "InterruptedIOException", "ClosedChannelException", "NotReplicatedYetException",
    "RecoveryInProgressException", "LeaseExpiredException",
}  # fmt: skip
BUSY = {408, 429, 502, 503, 504}


class Refusal(HdfsError):  # type: ignore[misc]  # the library has no types
    """A reply of 400 and above: the library's error with what that lacks, the status and who answered."""

    def __init__(self, response: requests.Response, exception: str, message: str) -> None:
        super().__init__(message, exception=exception)
        self.status, self.base = response.status_code, base_of(response)


class NotServing(requests.ConnectionError):
    """A server that does not serve yet, or no longer, and says so without Hadoop's words: the next one is asked."""


class HdfsClient(Client):  # type: ignore[misc]  # the library has no types
    """The library's client over our session: identity, time-outs and headers as everywhere in Knit."""

    def __init__(self, http: HttpService) -> None:
        self._http = http
        super().__init__(";".join(http.endpoint.addresses), session=http.session, timeout=http.endpoint.timeout)

    def _request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        params = kwargs.setdefault("params", {})
        if "delegation" not in params:
            params.update(self._http.endpoint.auth.parameters())
        response = self._http.session.request(
            method=method,
            url=url,
            timeout=self._timeout,
            headers={"Content-Type": "application/octet-stream"},  # HttpFS wants it
            **kwargs,
        )
        place = urlsplit(url)
        log.debug("%s %s %s%s: %d", params.get("op", method), method, place.netloc, place.path, response.status_code)
        if response.status_code < 400:
            return response
        exception, message = remote_exception(response)
        if exception in _STANDBY:
            return response
        if response.status_code in BUSY and not exception:
            raise NotServing(f"status {response.status_code}", request=response.request, response=response)
        raise Refusal(response, exception, message or f"status {response.status_code}")


def flag(response: requests.Response, *, missing: bool = False) -> bool:
    """What a reply's body says about what was done; `missing`: what it means when there is no body."""
    if not response.content:
        return missing
    return bool(response.json()["boolean"])


def base_of_request(error: requests.RequestException) -> str:
    """Scheme, host and port of the server that a failed request went to; empty: not known."""
    url = urlsplit(str(error.request.url)) if error.request is not None else None
    return f"{url.scheme}://{url.netloc}" if url else ""


def passes(name: str, message: str, *, while_sending: bool) -> bool:
    """Whether an exception tells of something that passes, though maybe after it was carried out.

    Args:
        name: of the exception.
        message: its words.
        while_sending: a DataNode said it. A plain IOException passes there, and when there is no DataNode to send to.
    """
    return name in _FAULTS or (name == "IOException" and (while_sending or "datanode" in message.lower()))


__all__ = ["BUSY", "TRANSIENT", "HdfsClient", "NotServing", "Refusal", "base_of_request", "flag", "passes"]
