"""A ResourceManager and a NameNode in one server on the loopback, for tests of `knit doctor`."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme

from knit_core import Knit, LayerCheck
from knit_core.model.connection_layers import ORDER

QUEUE = {"type": "capacitySchedulerLeafQueueInfo", "queueName": "default", "queuePath": "root.default"}
FREE = {"maxEffectiveCapacity": {"memory": 8192, "vCores": 8}, "resourcesUsed": {"memory": 0, "vCores": 0}}
LABELS = [f"{server} {layer.name}".strip() for layer, server in ORDER]


class Hadoop:
    """A ResourceManager and a NameNode in one server; `replies` replaces answers, by path or WebHDFS operation."""

    def __init__(self, certificate: trustme.LeafCert | None = None, clients: trustme.CA | None = None) -> None:
        self.replies: dict[str, Any] = {}
        self.asked: list[str] = []
        self.queue: dict[str, Any] = {**QUEUE, **FREE}
        self.nodes = 2
        hadoop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Transfer-Encoding") == "chunked":
                    while size := int(self.rfile.readline(), 16):
                        self.rfile.read(size + 2)
                    self.rfile.readline()
                url = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(url.query).items()}
                name = query.get("op", "").upper() or url.path
                hadoop.asked.append(name)
                status, body, headers = hadoop.reply(name, self.path, query)
                text = body if isinstance(body, str) else json.dumps(body)
                self.send_response(status)
                for header, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(header, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *_args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_args: Any) -> None:
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            if clients is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                clients.configure_trust(context)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.http.server_port
        self.address = f"{'https' if certificate else 'http'}://localhost:{self.port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def reply(self, name: str, path: str, query: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        if name in self.replies:
            found = self.replies[name]
            return found(query) if callable(found) else found
        most = {"memory": 4096, "vCores": 4}
        row = {"pathSuffix": "", "type": "DIRECTORY", "owner": "alice", "permission": "700"}
        scheduler = {"type": "capacityScheduler", "queueName": "root", "queuePath": "root", **FREE}
        totals = {"totalMB": 4096 * self.nodes, "totalVirtualCores": 4 * self.nodes, "activeNodes": self.nodes}
        properties = {"fs.defaultFS": "hdfs://nn:8020", "dfs.namenode.http-address": f"localhost:{self.port}"}
        answers: dict[str, Any] = {
            "/ws/v1/cluster/info": {"clusterInfo": {"id": 1, "haState": "ACTIVE", "hadoopVersion": "3.4.2"}},
            "/ws/v1/cluster/userinfo": {"clusterUserInfo": {"requestedUser": query.get("user.name", "dr.who")}},
            "/ws/v1/cluster/scheduler": {
                "scheduler": {"schedulerInfo": {**scheduler, "queues": {"queue": [self.queue]}}}
            },
            "/ws/v1/cluster/metrics": {"clusterMetrics": totals},
            "/ws/v1/cluster/nodes": {"nodes": {"node": [{"nodeHostName": "n1", "state": "LOST"}]}},
            "/ws/v1/cluster/apps/new-application": {
                "application-id": "application_1_0001", "maximum-resource-capability": most
            },
            "/conf": {"properties": [{"key": key, "value": value} for key, value in properties.items()]},
            "GETHOMEDIRECTORY": {"Path": f"/user/{query.get('user.name', 'dr.who')}"},
            "GETFILESTATUS": {"FileStatus": {**row, "length": 0, "modificationTime": 1}},
            "LISTSTATUS": {"FileStatuses": {"FileStatus": []}},
            "MKDIRS": {"boolean": True},
            "DELETE": {"boolean": True},
        }  # fmt: skip
        if name == "CREATE":
            return (201, "", {}) if "datanode" in query else (307, "", {"Location": f"{self.address}{path}&datanode=1"})
        return (200, answers[name], {}) if name in answers else (404, {}, {})

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def start() -> Iterator[Callable[..., Hadoop]]:
    running: list[Hadoop] = []

    def make(certificate: trustme.LeafCert | None = None, clients: trustme.CA | None = None) -> Hadoop:
        running.append(Hadoop(certificate, clients))
        return running[-1]

    yield make
    for each in running:
        each.close()


@pytest.fixture
def hadoop(start: Callable[..., Hadoop]) -> Hadoop:
    return start()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HADOOP_CONF_DIR", "KRB5CCNAME", "KNIT_RESOURCEMANAGER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path}/none")


def checks(address: str, timeout: float = 5.0, **options: Any) -> list[LayerCheck]:
    with Knit(address, user="alice", options=options) as knit:
        return list(knit.diagnose_connection(timeout=timeout))


def first_failure(found: list[LayerCheck]) -> LayerCheck:
    """The failure; all layers have a result in their order, and none after it was checked."""
    assert [check.label for check in found] == LABELS
    at = next(at for at, check in enumerate(found) if check.ok is False)
    assert all(check.ok is not False for check in found[:at])
    assert {(check.ok, check.text) for check in found[at + 1 :]} <= {(None, "not checked")}
    assert found[at].remedy and found[at].error
    return found[at]


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
