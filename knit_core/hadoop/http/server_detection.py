"""Which server answers at an address that is not the one that was meant: one or two small questions, without identity."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any

import requests
import urllib3

RPC_PORT = "the RPC port of a Hadoop server, not its web port"
_TIMEOUT = 2.0  # seconds
_MOST = 1 << 16  # bytes that are read of an answer
_MOST_OF_RPC = 200
# Every daemon of Hadoop's tells its metrics under its own name.
_METRICS = "/jmx?qry=Hadoop:service=*,name=JvmMetrics"
_RPC = "Hadoop IPC port"  # its words
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


def detect_server(base: str, verify: bool | str = True, proxies: Mapping[str, str] | None = None) -> str:
    """What answers there ("a NameNode"); empty when that cannot be told.

    Args:
        base: `http://host:port`.
        verify, proxies: as requests takes them.
    """
    with contextlib.suppress(requests.RequestException), requests.Session() as session:
        session.trust_env = False
        session.verify = verify
        session.proxies = dict(proxies or {})
        metrics = _start_of(session, f"{base}{_METRICS}")
        found = _SERVICE.search(metrics)
        if found is not None:
            return _NAMES.get(found[1], f"a {found[1]}")
        if '"metadatabase"' in _start_of(session, f"{base}/api/v2/monitor/health"):
            return "Airflow's api-server"
        if _RPC in metrics or _RPC in _start_of(session, base):
            return RPC_PORT
    return ""


def is_rpc_port(response: requests.Response) -> bool:
    """Whether a reply whose body was not read yet is that of one of Hadoop's RPC ports to HTTP."""
    fields = response.headers
    endless = not {"Content-Length", "Transfer-Encoding", "Connection"} & {name.title() for name in fields}
    plain = response.status_code == 404 and fields.get("Content-Type") == "text/plain"
    return plain and endless and _RPC in _beginning(response)


def _start_of(session: Any, url: str) -> str:
    with session.get(url, timeout=_TIMEOUT, stream=True) as response:
        return _beginning(response)


def _beginning(response: requests.Response) -> str:
    """What came of the body.

    An RPC port gives no length and resets the connection, as it has not read the request: no more is asked for than came.
    """
    data, fields = b"", response.headers
    size, most = (_MOST, _MOST) if "Content-Length" in fields or "Transfer-Encoding" in fields else (1, _MOST_OF_RPC)
    with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
        while len(data) < most and (piece := response.raw.read(size, decode_content=True)):
            data += piece
    return data.decode("utf-8", "replace")
