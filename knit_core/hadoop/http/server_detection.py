"""Detects which server answers at an address, when it is not the expected one: up to three small requests, no identity."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any

import requests
import urllib3

from knit_core.hadoop.http.tls import Tls

RPC_PORT = "the RPC port of a Hadoop server, not its web port"
_TIMEOUT = 2.0  # seconds
_MAX_BODY = 1 << 16  # bytes
_MAX_RPC_BODY = 200
# The metrics of each Hadoop daemon contain its name.
_METRICS = "/jmx?qry=Hadoop:service=*,name=JvmMetrics"
_RPC = "Hadoop IPC port"  # in its reply to HTTP
_SERVICE = re.compile(r"Hadoop:service=(\w+),name=JvmMetrics")
_NAMES = {
    "ResourceManager": "a ResourceManager",
    "NodeManager": "a NodeManager",
    "NameNode": "a NameNode",
    "SecondaryNameNode": "a secondary NameNode",
    "DataNode": "a DataNode",
    "JournalNode": "a JournalNode",
    "JobHistoryServer": "a JobHistory server",
    "ApplicationHistoryServer": "a timeline server",
    "HttpFS": "an HttpFS server",
}


def detect_server(base: str, tls: Tls | None = None, proxies: Mapping[str, str] | None = None) -> str:
    """The server at an address ("a NameNode"); empty when it cannot be detected.

    Args:
        base: `http://host:port`.
        tls: settings of https connections; None: the defaults.
        proxies: as requests takes them.
    """
    with contextlib.suppress(requests.RequestException), requests.Session() as session:
        session.trust_env = False
        (tls or Tls()).configure(session)
        session.proxies = dict(proxies or {})
        metrics = _get_start(session, f"{base}{_METRICS}")
        found = _SERVICE.search(metrics)
        if found is not None:
            return _NAMES.get(found[1], f"a {found[1]}")
        if '"metadatabase"' in _get_start(session, f"{base}/api/v2/monitor/health"):
            return "Airflow's api-server"
        if _RPC in metrics or _RPC in _get_start(session, base):
            return RPC_PORT
    return ""


def is_rpc_port(response: requests.Response) -> bool:
    """Whether a reply with an unread body comes from an RPC port of Hadoop."""
    fields = response.headers
    no_length = not {"Content-Length", "Transfer-Encoding", "Connection"} & {name.title() for name in fields}
    plain = response.status_code == 404 and fields.get("Content-Type") == "text/plain"
    return plain and no_length and _RPC in _start_of_body(response)


def _get_start(session: Any, url: str) -> str:
    with session.get(url, timeout=_TIMEOUT, stream=True) as response:
        return _start_of_body(response)


def _start_of_body(response: requests.Response) -> str:
    """The first bytes of the body as a text.

    An RPC port sends no length and resets the connection, which loses unread bytes: its body is read byte by byte.
    """
    data, fields = b"", response.headers
    has_length = "Content-Length" in fields or "Transfer-Encoding" in fields
    size, limit = (_MAX_BODY, _MAX_BODY) if has_length else (1, _MAX_RPC_BODY)
    with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
        while len(data) < limit and (chunk := response.raw.read(size, decode_content=True)):
            data += chunk
    return data.decode("utf-8", "replace")
