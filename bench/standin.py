"""A stand-in for the ResourceManager's list of applications, for crowds that no test cluster can hold.

Rows are copies of one recorded from a real ResourceManager (Hadoop 3.4.2); the filters are those that the waits use.
Run in a process of its own, so that its work does not count as the triggerer's.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

CLUSTER = 1795641634989
ROW: dict[str, Any] = {
    "user": "alice", "name": "dag.task", "queue": "root.default", "state": "RUNNING", "finalStatus": "UNDEFINED",
    "progress": 40.0, "trackingUI": "ApplicationMaster", "diagnostics": "", "clusterId": CLUSTER,
    "trackingUrl": "http://localhost:13683/proxy/{id}/", "applicationType": "KNIT",
    "applicationTags": "knit,knit-key-0123456789012345678901234567890123456789", "priority": 0, "launchTime": 1,
    "elapsedTime": 127, "amContainerLogs": "http://localhost:20542/node/containerlogs/container_{tail}_01_000001/alice",
    "amHostHttpAddress": "localhost:20542", "amRPCAddress": "localhost:41234", "masterNodeId": "localhost:29238",
    "allocatedMB": 512, "allocatedVCores": 2, "reservedMB": 0, "reservedVCores": 0, "runningContainers": 2,
    "memorySeconds": 13, "vcoreSeconds": 0, "queueUsagePercentage": 0.0, "clusterUsagePercentage": 0.0,
    "resourceSecondsMap": {"entry": [{"key": "memory-mb", "value": "13"}, {"key": "vcores", "value": "0"}]},
    "preemptedResourceMB": 0, "preemptedResourceVCores": 0, "numNonAMContainerPreempted": 0,
    "numAMContainerPreempted": 0, "preemptedMemorySeconds": 0, "preemptedVcoreSeconds": 0,
    "preemptedResourceSecondsMap": {}, "logAggregationStatus": "NOT_START", "unmanagedApplication": False,
    "appNodeLabelExpression": "",
}  # fmt: skip

NO_FILE = {"RemoteException": {"exception": "FileNotFoundException", "message": "File does not exist"}}


class StandIn:
    """The cluster's state, and what was asked."""

    def __init__(self, count: int) -> None:
        self.begun = int(time.time() * 1000) - 3_600_000
        self.ids = [f"application_{CLUSTER}_{number:04d}" for number in range(1, count + 1)]
        self.finished: dict[str, int] = {}
        self.lock = threading.Lock()
        self.requests: Counter[str] = Counter()
        self.bytes = 0

    def row(self, number: int, app_id: str) -> dict[str, Any]:
        """One application as the list shows it."""
        text = json.dumps(ROW).replace("{id}", app_id).replace("{tail}", app_id.partition("_")[2])
        row = {"id": app_id, **json.loads(text), "startedTime": self.begun + number, "finishedTime": 0}
        if app_id in self.finished:
            row.update(state="FINISHED", finalStatus="SUCCEEDED", finishedTime=self.finished[app_id], progress=100.0)
        return row

    def answer(self, path: str, query: dict[str, str]) -> Any:
        """What a GET is answered with."""
        if path == "/end":
            now = int(time.time() * 1000)
            with self.lock:
                for app_id in query["ids"].split(","):
                    self.finished[app_id] = now
            return {"at": now}
        if path == "/counts":
            return {"requests": dict(self.requests), "bytes": self.bytes}
        app_id = path.rpartition("/")[2]
        if app_id.startswith("application_"):
            return {"app": self.row(self.ids.index(app_id), app_id)}
        if path.endswith("/apps"):
            states = query.get("states", "")
            since = int(query.get("finishedTimeBegin", 0))
            rows = [
                self.row(number, each)
                for number, each in enumerate(self.ids)
                if (self.finished.get(each, 0) >= since if since else True)
                and ("FINISHED" if each in self.finished else "RUNNING") in states
                and self.begun + number >= int(query.get("startedTimeBegin", 0))
            ]
            return {"apps": {"app": rows} if rows else None}
        return {"clusterInfo": {"haState": "ACTIVE", "state": "STARTED", "hadoopVersion": "3.4.2"}}


def serve(standin: StandIn, port: int = 0) -> ThreadingHTTPServer:
    """Start it on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            nothing = parts.path.startswith("/webhdfs/")  # an HDFS without any file
            body = json.dumps(NO_FILE if nothing else standin.answer(parts.path, query)).encode()
            if parts.path.startswith("/ws/"):
                kind = (
                    "one application" if "/application_" in parts.path else "list" if "/apps" in parts.path else "state"
                )
                with standin.lock:
                    standin.requests[kind] += 1
                    standin.bytes += len(body)
            self.send_response(404 if nothing else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 1024

    return Server(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    import sys

    server = serve(StandIn(int(sys.argv[1])))
    print(server.server_address[1], flush=True)
    server.serve_forever()
