"""NodeManagers of this process: they answer like Hadoop's (layouts by the real one's replies), and fail as told."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from knit_core.hadoop.http import Endpoint, HttpService, RetryPolicy, SimpleAuth
from knit_core.model.result import Container
from knit_core.model.states import ContainerState


def http_service() -> HttpService:
    return HttpService(Endpoint("NodeManager", ("http://nowhere",), SimpleAuth("alice")), RetryPolicy(budget=0))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    node: Node

    def setup(self) -> None:
        self.node.connections += 1
        super().setup()

    def do_GET(self) -> None:
        self.node.asked.append(self.path)
        if self.node.hang:
            self.node._over.wait()
            self.close_connection = True
            return
        self.node._over.wait(self.node.delay)
        if self.node.failing:
            self._answer(500, "text/plain", b"out of order")
            return
        parts = urlsplit(self.path)
        words = parts.path.split("/")[4:]  # containers, <id>, logs[, <file>]
        if words[1] not in self.node.logs:
            status, body = self.node.unknown
            self._answer(status, "application/json" if body.startswith(b"{") else "text/plain", body)
        elif len(words) == 3:
            self._answer(200, "application/json", json.dumps(self.node._listing(words[1])).encode())
        else:
            self.node.before_file(words[1], words[3])
            self._file(words[1], words[3], int(parse_qs(parts.query)["size"][0]))

    def _file(self, container: str, name: str, size: int) -> None:
        content = self.node.logs[container].get(name)
        if content is None:
            self._answer(404, "text/plain", b"Cannot find this log on the local disk.")
            return
        shown = (content[-min(-size, len(content)) :] if size < 0 else content[:size]) if size else b""
        head = (
            f"Container: {container} on n:1\nLogAggregationType: LOCAL\n====\nLogType:{name}\n"
            f"LogLastModifiedTime:now\nLogLength:{len(content)}\nLogContents:\n"
        ).encode() if content else b""  # fmt: skip
        tail = f"End of LogType:{name}.This log file belongs to a running container\n***\n\n".encode()
        for each in self.node.uploaded.get(container, {}).get(name, []):
            tail += b"Container: x\nLogAggregationType: AGGREGATED\nLogLength:%d\nLogContents:\n" % len(each)
            tail += each
        body = head + shown + tail
        if not self.node.drip:
            self._answer(200, "text/plain", body)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for byte in body:
            self.wfile.write(bytes([byte]))
            if self.node._over.wait(self.node.drip):
                return

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_args: object) -> None:
        pass  # a reader that has enough goes away


class Node:
    """One NodeManager.

    Attributes:
        logs: container -> file -> content now.
        uploaded: container -> file -> what was uploaded of it, oldest first.
        asked: paths, in order.
        delay: seconds before each answer; hang: never answer.
        drip: seconds between bytes of a file's content.
        failing: answer 500 to everything.
        unknown: status and body of the answer for a container that the node does not know (yet).
        before_file: called before a file is sent, with container and name (to change something in between).
    """

    def __init__(self) -> None:
        self.logs: dict[str, dict[str, bytes]] = {}
        self.uploaded: dict[str, dict[str, list[bytes]]] = {}
        self.asked: list[str] = []
        self.connections = 0
        self.delay, self.hang, self.drip, self.failing = 0.0, False, 0.0, False
        self.unknown: tuple[int, bytes] = (404, b"NotFoundException: Unknown container")
        self.before_file = lambda container, name: None
        self._over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"node": self}))
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def _listing(self, container: str) -> dict[str, object]:
        def row(kind: str, files: dict[str, int]) -> dict[str, object]:
            infos: object = [{"fileName": name, "fileSize": str(size)} for name, size in files.items()]
            found: dict[str, object] = {"logAggregationType": kind}
            if files:  # as Jersey writes lists: none at all, or without brackets when there is one element
                found["containerLogInfo"] = infos if len(files) > 1 else infos[0]  # type: ignore[index]
            return found

        rows = [row("LOCAL", {name: len(data) for name, data in self.logs[container].items()})]
        uploads = self.uploaded.get(container, {})
        for number in range(max((len(each) for each in uploads.values()), default=0)):
            there = {name: len(each[number]) for name, each in uploads.items() if number < len(each)}
            rows.append(row("AGGREGATED", there))
        return {"containerLogsInfo": rows if len(rows) > 1 else rows[0]}

    def write(self, container: str, data: bytes, name: str = "stdout") -> None:
        """The container's file grows."""
        files = self.logs.setdefault(container, {})
        files[name] = files.get(name, b"") + data

    def row(self, rank: int, state: ContainerState = ContainerState.RUNNING, attempt: int = 1) -> Container:
        """A container on this node."""
        yarn = f"container_1_0001_01_{rank * 10 + attempt + 1:06d}"
        return Container(
            f"main_{rank}", "main", rank, attempt, state, yarn, node="n:1", node_http=self.address, started_at=1
        )

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class DeadNode:
    """An address at which nobody answers: its backlog is full, so that a connection does not even fail."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(0)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._fill = [socket.socket() for _ in range(4)]
        for each in self._fill:
            each.setblocking(False)
            each.connect_ex(self._socket.getsockname())

    def close(self) -> None:
        for each in (*self._fill, self._socket):
            each.close()
