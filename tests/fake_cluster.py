"""A ResourceManager and a NameNode in one web server on the loopback: enough for launches, a thousand of them quickly."""

from __future__ import annotations

import json
import posixpath
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_ROOT = {"type": "capacityScheduler", "queueName": "root", "queuePath": "root", "capacity": 100.0}
_QUEUE = {"type": "capacitySchedulerLeafQueueInfo", "queueName": "default", "queuePath": "root.default"}


class FakeCluster:
    """Applications stay ACCEPTED for ever, unless `report` says otherwise; files lie in memory.

    Attributes:
        address: of both services.
        apps: submitted bodies by id.
        files: contents by path; None: a folder.
        nodes, memory: how many run, and MiB of each.
        started: when the ResourceManager began, ms since 1970.
        loading: for so many more questions for its state the ResourceManager has not loaded its applications yet.
        state: haState of the server that is asked; a STANDBY passes all other requests on to the active one, as to itself here.
        changes: path and body of each change of an application.
        report: fields of the reports of all applications.
        containers: rows of the containers of each application's attempt; wrapped: in an object `containers`, as by version.
        node_rows: the list of the NodeManagers; None: it is not answered.
        properties: of the configuration, besides those of HDFS.
    """

    def __init__(self) -> None:
        self.apps: dict[str, Any] = {}
        self.files: dict[str, bytes | None] = {"/": None}
        self.nodes, self.started, self._ids, self.loading = 1, 1, 0, 0
        self.memory, self.state = 8192, "ACTIVE"
        self.changes: list[tuple[str, Any]] = []
        self.report: dict[str, Any] = {}
        self._killed: set[str] = set()
        self.containers: list[dict[str, Any]] = []
        self.wrapped = True
        self.node_rows: list[dict[str, Any]] | None = None
        self.properties: dict[str, str] = {}
        self._lock = threading.Lock()
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet

            def do_GET(self) -> None:
                place = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Transfer-Encoding") == "chunked":
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                query = dict(parse_qsl(place.query))
                with cluster._lock:
                    if place.path.startswith("/webhdfs/v1"):
                        answer = cluster._hdfs(place.path.removeprefix("/webhdfs/v1"), query, body, self.path)
                    else:
                        answer = cluster._yarn(self.command, place.path, body)
                status, reply, location = answer
                raw = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                if location:
                    self.send_header("Location", f"{cluster.address}{location}")
                self.end_headers()
                self.wfile.write(raw)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *_args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _yarn(self, method: str, path: str, body: bytes) -> tuple[int, Any, str]:
        if path == "/conf":
            found = {"fs.defaultFS": "hdfs://nn:8020", "dfs.namenode.http-address": self.address.partition("//")[2]}
            found |= self.properties
            return 200, {"properties": [{"key": key, "value": value} for key, value in found.items()]}, ""
        name = path.removeprefix("/ws/v1/cluster/")
        if name == "apps/new-application":
            self._ids += 1
            most = {"memory": 8192, "vCores": 8}
            return 200, {"application-id": f"application_1_{self._ids:04d}", "maximum-resource-capability": most}, ""
        if name == "apps" and method == "POST":
            submitted = json.loads(body)
            self.apps[submitted["application-id"]] = submitted
            return 202, b"", ""
        loading, self.loading = self.loading > 0, self.loading - (name == "info" and self.loading > 0)
        known = {} if loading else self.apps
        state = "INITIALIZING" if loading else self.state
        fixed = {
            "info": {"clusterInfo": {"id": 1, "haState": state, "startedOn": self.started}},
            "apps": {"apps": {"app": [self._row(app_id) for app_id in known]}},
            "scheduler": {"scheduler": {"schedulerInfo": {**_ROOT, "queues": {"queue": [_QUEUE]}}}},
            "metrics": {
                "clusterMetrics": {
                    "totalMB": self.memory * self.nodes, "totalVirtualCores": 8 * self.nodes, "activeNodes": self.nodes
                }
            },
        }  # fmt: skip
        if self.node_rows is not None:
            fixed["nodes"] = {"nodes": {"node": self.node_rows}}
        if name in fixed:
            return 200, fixed[name], ""
        app_id, _, what = name.removeprefix("apps/").partition("/")
        if app_id in known and method == "PUT":
            self.changes.append((what, json.loads(body)))
            if what == "state":
                self._killed.add(app_id)
            return 200, {}, ""
        if app_id in known and what.endswith("/containers"):
            rows: Any = self.containers if len(self.containers) != 1 else self.containers[0]
            return 200, {"containers": {"container": rows}} if self.wrapped else {"container": rows}, ""
        if app_id in known and what == "appattempts":
            return 200, {"appAttempts": {"appAttempt": [{"id": 1}]}}, ""
        if app_id in known:
            return 200, {"app": self._row(app_id), "timeout": {"expiryTime": "UNLIMITED"}}, ""
        return _exception(404, "NotFoundException", f"{path} is not known")

    def _row(self, app_id: str) -> dict[str, Any]:
        ended = {"state": "KILLED", "finalStatus": "KILLED"} if app_id in self._killed else {}
        return _app(app_id, self.apps[app_id]) | self.report | ended

    def _hdfs(self, path: str, query: dict[str, str], body: bytes, whole: str) -> tuple[int, Any, str]:
        """One WebHDFS call; the part of a DataNode is played by the same server."""
        operation = query["op"].upper()
        if operation == "CREATE":
            if "datanode" not in query:
                return 307, b"", f"{whole}&datanode=1"
            self._folder(posixpath.dirname(path))
            self.files[path] = body
            return 201, b"", ""
        if operation in {"MKDIRS", "GETHOMEDIRECTORY"}:
            self._folder(path)
            return 200, {"boolean": True, "Path": "/user/alice"}, ""
        if operation == "DELETE":
            gone = [name for name in self.files if name == path or name.startswith(f"{path}/")]
            for name in gone:
                del self.files[name]
            return 200, {"boolean": bool(gone)}, ""
        if operation == "RENAME":
            return self._rename(path, query["destination"], query.get("renameoptions"))
        if path not in self.files:
            return _exception(404, "FileNotFoundException", f"File does not exist: {path}")
        if operation == "OPEN":
            return 200, self.files[path] or b"", ""
        if operation == "LISTSTATUS":
            rows = [_row(name, self.files[name]) for name in self.files if posixpath.dirname(name) == path != name]
            return 200, {"FileStatuses": {"FileStatus": rows}}, ""
        if operation == "GETFILESTATUS":
            return 200, {"FileStatus": {**_row(path, self.files[path]), "pathSuffix": ""}}, ""
        return 200, b"", ""

    def _rename(self, path: str, target: str, options: str | None) -> tuple[int, Any, str]:
        """A plain one answers in its body; OVERWRITE is the only option that is known here."""
        done = path in self.files and (options == "OVERWRITE" or target not in self.files)
        if done:
            self.files[target] = self.files.pop(path)
        if options is None:
            return 200, {"boolean": done}, ""
        return (200, b"", "") if done else _exception(404, "FileNotFoundException", f"File does not exist: {path}")

    def _folder(self, path: str) -> None:
        while path not in self.files:
            self.files[path], path = None, posixpath.dirname(path)


def _row(path: str, content: bytes | None) -> dict[str, Any]:
    return {
        "pathSuffix": posixpath.basename(path), "type": "DIRECTORY" if content is None else "FILE", "owner": "alice",
        "length": len(content or b""), "modificationTime": 1, "permission": "700",
    }  # fmt: skip


def _app(app_id: str, submitted: Any = None) -> dict[str, Any]:
    tags = (submitted or {}).get("application-tags") or {}
    row = {"applicationTags": ",".join(tags.get("tag", []))} if tags else {}
    row |= {"id": app_id, "name": "x", "user": "alice", "queue": "default", "state": "ACCEPTED"}
    return {**row, "finalStatus": "UNDEFINED", "applicationType": "KNIT"}


def _exception(status: int, name: str, message: str) -> tuple[int, Any, str]:
    return status, {"RemoteException": {"exception": name, "message": message}}, ""
