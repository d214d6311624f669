"""Which server answers at an address that is not the one that was meant: one or two small questions, without identity."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any

import requests

_TIMEOUT = 2.0  # seconds
_MOST = 1 << 16  # bytes that are read of an answer
# Every daemon of Hadoop's tells its metrics under its own name.
_METRICS = "/jmx?qry=Hadoop:service=*,name=JvmMetrics"
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


def answers_at(base: str, verify: bool | str = True, proxies: Mapping[str, str] | None = None) -> str:
    """What answers there ("a NameNode"); empty when that cannot be told.

    Args:
        base: `http://host:port`.
        verify, proxies: as requests takes them.
    """
    with contextlib.suppress(requests.RequestException), requests.Session() as session:
        session.trust_env = False
        session.verify = verify
        session.proxies = dict(proxies or {})
        found = _SERVICE.search(_start_of(session, f"{base}{_METRICS}"))
        if found is not None:
            return _NAMES.get(found[1], f"a {found[1]}")
        if '"metadatabase"' in _start_of(session, f"{base}/api/v2/monitor/health"):
            return "Airflow's api-server"
        if "Hadoop IPC port" in _start_of(session, base):
            return "the RPC port of a Hadoop server, not its web port"
    return ""


def _start_of(session: Any, url: str) -> str:
    with session.get(url, timeout=_TIMEOUT, stream=True) as response:
        data = response.raw.read(_MOST, decode_content=True)
    return bytes(data).decode("utf-8", "replace")
