"""What is read from outside while an application runs: YARN's state, memory from /proc, bytes that HDFS received."""

from __future__ import annotations

import json
import os
import platform
import re
import threading
import time
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import psutil

_direct = build_opener(ProxyHandler({}))
LIVING = "NEW,NEW_SAVING,SUBMITTED,ACCEPTED,RUNNING"
MIB = 2**20


def get(url: str) -> Any:
    """JSON from a daemon's HTTP interface."""
    with _direct.open(url, timeout=10) as reply:
        return json.load(reply)


def living(resourcemanager: str) -> list[str]:
    """Ids of applications that have not ended."""
    apps = get(f"{resourcemanager}/ws/v1/cluster/apps?states={LIVING}").get("apps") or {}
    return [app["id"] for app in apps.get("app", [])]


def allocated(resourcemanager: str) -> int:
    """Containers that hold resources."""
    return int(get(f"{resourcemanager}/ws/v1/cluster/metrics")["clusterMetrics"]["containersAllocated"])


class RunningWatch(threading.Thread):
    """Notes when an application is first seen RUNNING, which is when its ApplicationMaster has registered.

    The same for every peer, and independent of how its client waits. Resolution: the poll's 50 ms.
    """

    def __init__(self, resourcemanager: str) -> None:
        super().__init__(daemon=True)
        self._url = f"{resourcemanager}/ws/v1/cluster/apps?states=RUNNING&deSelects=resourceRequests,timeouts"
        self._ended = threading.Event()
        self.seen: float | None = None
        self.start()

    def run(self) -> None:
        while not self._ended.wait(0.05):
            if (get(self._url).get("apps") or {}).get("app"):
                self.seen = time.time()
                return

    def end(self) -> None:
        self._ended.set()
        self.join()


def received(datanode: str) -> int:
    """Bytes of file content that the DataNode has written since it started."""
    beans = get(f"{datanode}/jmx?qry=Hadoop:service=DataNode,name=DataNodeActivity-*")["beans"]
    return sum(int(bean["BytesWritten"]) for bean in beans)


def programs(*command: str) -> int:
    """Living processes with just this command line."""
    return sum(process.info["cmdline"] == list(command) for process in psutil.process_iter(["cmdline"]))


def resident(pid: int) -> float:
    """VmRSS in MiB of a process."""
    return psutil.Process(pid).memory_info().rss / MIB


def resident_tree(pid: int) -> float:
    """VmRSS in MiB of a process and all it started: a client's JVM counts."""
    root = psutil.Process(pid)
    return sum(resident(process.pid) for process in [root, *root.children(recursive=True)])


def master_pid(app_id: str) -> int | None:
    """The Java process of an application's ApplicationMaster."""
    wanted = re.compile(rf"container_(e\d+_)?{app_id.removeprefix('application_')}_\d\d_000001")
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == "java" and wanted.fullmatch(process.environ().get("CONTAINER_ID", "")):
                return process.pid
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return None


def registered(master: int) -> float | None:
    """Seconds of processor time that Knit's ApplicationMaster took until it registered, as it writes itself."""
    found = re.search(
        r"registered at \d+ ms, (\d+) ms of processor", Path(f"/proc/{master}/fd/2").read_text(errors="replace")
    )
    return int(found[1]) / 1000 if found else None


def machine(java: str, hadoop: str) -> dict[str, Any]:
    """The machine in words that name nobody."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "java": java,
        "hadoop": hadoop,
    }


def kill(resourcemanager: str, app_id: str) -> None:
    """End an application that its own client did not end."""
    user = get(f"{resourcemanager}/ws/v1/cluster/apps/{app_id}")["app"]["user"]
    request = Request(
        f"{resourcemanager}/ws/v1/cluster/apps/{app_id}/state?user.name={user}",
        data=b'{"state": "KILLED"}',
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    _direct.open(request, timeout=10).close()
