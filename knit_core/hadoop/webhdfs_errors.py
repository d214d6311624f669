"""From what a WebHDFS call raised (by the `hdfs` library, requests or a reply of another server) to Knit's errors."""

from __future__ import annotations

from urllib.parse import urlsplit

import requests

from knit_core.config.gateways import has_path
from knit_core.errors import KnitError, NotAuthorized, NotFound, RequestRefused, ServiceUnavailable, UnexpectedReply
from knit_core.hadoop.hdfs_session import BUSY, STANDBY, NotServing
from knit_core.hadoop.http import ActingFor, HttpService, gateway_hint, impersonation_hint

_NOT_CARRIED_OUT = {*STANDBY, "SafeModeException"}
# Exceptions while another daemon restarts or is gone: a DataNode or HttpFS that cannot reach the NameNode, a pipeline of
# DataNodes that broke. A plain IOException may be that, or a refusal: see `_is_transient`.
_TRANSIENT = {
    "EOFException", "SocketException", "SocketTimeoutException", "ConnectException", "ConnectTimeoutException",
    "NoRouteToHostException", "InterruptedIOException", "ClosedChannelException", "NotReplicatedYetException",
    "RecoveryInProgressException", "LeaseExpiredException",
}  # fmt: skip
_NOT_ALLOWED = {"AccessControlException", "AuthorizationException", "SecurityException"}


def webhdfs_error(http: HttpService, error: Exception, action: str) -> KnitError:
    """Knit's error for an exception of a WebHDFS call.

    Args:
        http: the NameNodes.
        error: HdfsError, requests.RequestException, KeyError or TypeError.
        action: what was tried, for the message.
    """
    if isinstance(error, NotServing):
        base = _base_of_request(error)
        return ServiceUnavailable(
            f"{action}: {_server(http, base)} does not serve now ({error})", address=base, action=action
        )
    if isinstance(error, (requests.exceptions.JSONDecodeError, KeyError, TypeError)):
        hint = http.instead(http.address) or " Is this address really the NameNode's web address?"
        return UnexpectedReply(
            f"{action}: the server at {http.address} does not serve WebHDFS.{hint}",
            address=http.address,
            action=action,
        )
    if isinstance(error, requests.RequestException):
        base = _base_of_request(error) or http.address
        return http.broken(error, base, action, name=None if _is_namenode(http, base) else "DataNode")
    return _from_reply(http, error, action)


def _from_reply(http: HttpService, error: Exception, action: str) -> KnitError:
    base = getattr(error, "base", http.address)
    name = getattr(error, "exception", None) or ""
    message = str(getattr(error, "message", error)).strip().split("\n")[0]
    status, challenge = int(getattr(error, "status", 400)), str(getattr(error, "challenge", ""))
    if name in _NOT_CARRIED_OUT or status in BUSY or _is_transient(name, message, not _is_namenode(http, base)):
        return ServiceUnavailable(
            f"{action}: {_server(http, base)} does not serve now: {message}",
            address=base,
            action=action,
            not_carried_out=name in _NOT_CARRIED_OUT,
        )
    if status == 401:
        message = "" if not name and message.startswith(("<", "status ")) else message
    elif not name and message.startswith(("<", "status ")):
        message = "with no reply of WebHDFS" + (
            ": does the gateway's topology have the service WEBHDFS?"
            if has_path(http.address)
            else http.instead(http.address) or ": is it a NameNode's web address?"
        )
    elif "Invalid operation" in message:
        message += f".{http.instead(http.address)}"
    text, kind = f"{action}: {_server(http, base)} refused" + (f": {message}" if message else ""), RequestRefused
    if "user.name" in message or "does not belong to the domain" in message:
        text += " (its setting dfs.webhdfs.user.provider.user.pattern defines the accepted user names)"
    if status == 401 or name in _NOT_ALLOWED or "Authentication" in message:
        hint = impersonation_hint(message) or gateway_hint(_login(http), base, status, challenge, message)
        text, kind, status = f"{text} (as {http.endpoint.auth.user}){hint}", NotAuthorized, 403
    elif name == "FileNotFoundException":
        kind, status = NotFound, 404
    elif name in {"DSQuotaExceededException", "NSQuotaExceededException"}:
        text += " Ask for a larger quota, or delete files."
    return kind(text, status=status, exception=name, address=base, action=action)


def _is_transient(name: str, message: str, from_datanode: bool) -> bool:
    """Whether the fault passes. The request may have been carried out.

    A plain IOException is transient when a DataNode gives it, and when the NameNode has no DataNode to send data to.
    """
    return name in _TRANSIENT or (name == "IOException" and (from_datanode or "datanode" in message.lower()))


def _base_of_request(error: requests.RequestException) -> str:
    """Scheme, host and port of the server that a failed request went to; empty: not known."""
    url = urlsplit(str(error.request.url)) if error.request is not None else None
    return f"{url.scheme}://{url.netloc}" if url else ""


def _is_namenode(http: HttpService, base: str) -> bool:
    return urlsplit(base).netloc in {urlsplit(address).netloc for address in http.failover.addresses}


def _login(http: HttpService) -> object:
    """The identity that logs in."""
    auth = http.endpoint.auth
    return auth.auth if isinstance(auth, ActingFor) else auth


def _server(http: HttpService, base: str) -> str:
    return f"HDFS at {base}" if _is_namenode(http, base) or not base else f"the DataNode at {base}"


__all__ = ["webhdfs_error"]
