"""Log files of YARN's daemons on this machine, for clusters of one node."""

from __future__ import annotations

import re
import socket
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

_OPTION = re.compile(r"-D(?:yarn|hadoop)\.log\.(dir|file)=(.+)")
_DAEMONS = {"rm": "ResourceManager", "nm": "NodeManager"}


def system_logs(rm: str, nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`single_node` and `on_rm`: whether the cluster is this machine alone, and whether the ResourceManager runs here; the
    processes `rm_proc` and `nm_proc` with `rm_logfile` and `nm_logfile`, if they run here (needs psutil).

    Args:
        rm: the ResourceManager's host.
        nodes: of `YARNAPI.nodes`.
    """
    own = {*_addresses(socket.gethostname()), *_addresses("localhost")}
    on_rm = bool(own & _addresses(rm))
    hosts = [str(row["nodeHostName"]) for row in nodes]
    found: dict[str, Any] = {
        "single_node": on_rm and len(hosts) == 1 and bool(own & _addresses(hosts[0])),
        "on_rm": on_rm,
    }
    try:
        import psutil
    except ImportError:
        warnings.warn("psutil is not installed: the daemons on this machine are not looked for", stacklevel=3)
        return found
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or ()
        for name, daemon in _DAEMONS.items():
            if any(word.rpartition(".")[2] == daemon for word in words):
                found[f"{name}_proc"] = process
                if log := log_file(words):
                    found[f"{name}_logfile"] = log
    return found


def log_file(words: Iterable[str]) -> str:
    """The log file that a daemon's command line names; empty when it names none."""
    parts = {match[1]: match[2] for word in words if (match := _OPTION.fullmatch(word))}
    return str(PurePosixPath(parts.get("dir", ""), parts["file"])) if "file" in parts else ""


def _addresses(host: str) -> set[str]:
    try:
        return set(socket.gethostbyname_ex(host)[2])
    except OSError:
        return set()


__all__ = ["log_file", "system_logs"]
