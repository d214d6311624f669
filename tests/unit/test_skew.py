"""Clocks that differ from the ApplicationMaster's by more than the minute for which a request is valid."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from knit_container import application_master as inside
from knit_container.signing import encode_body
from knit_core.hadoop.application_master import ApplicationMasterClient
from knit_core.hadoop.http import DirectTransport, SimpleAuth
from knit_core.model.report import ApplicationReport
from knit_core.model.states import State

KEY, VALID = b"k" * 32, 60_000


class Gate(ThreadingHTTPServer):
    """Refuses times as the ApplicationMaster does, by a clock of its own."""

    def __init__(self) -> None:
        self.skew = 0  # milliseconds
        self.statuses: list[int] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Gate

    def do_GET(self) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        now = int(time.time() * 1000) + self.server.skew
        stale = abs(int(query["ktime"]) - now) > VALID
        status = 401 if stale else 200
        self.server.statuses.append(status)
        reply = encode_body({"error": "stale", "time": now, "attempt": 1} if stale else {"fine": True})
        text = "\n".join(("knit-reply-1", query["knonce"], str(status), hashlib.sha256(reply).hexdigest()))
        signature = hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()
        content = f'{{"signature":"{signature}","reply":{reply.decode()}}}'.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def gate() -> Iterator[Gate]:
    server = Gate()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def _client(gate: Gate) -> ApplicationMasterClient:
    report = ApplicationReport(
        "application_1_0001", "x", "alice", "default", State.RUNNING, None, master=f"127.0.0.1:{gate.server_port}"
    )
    return ApplicationMasterClient(
        report.id, lambda: KEY, lambda: report, DirectTransport(), requests.Session, SimpleAuth("alice"), 0.5
    )


def _container(gate: Gate, folder: Path) -> inside.ApplicationMaster:
    alias = b"knit.token"
    credentials = b"HDTS\0" + bytes([0, 1, len(alias)]) + alias + bytes([len(KEY)]) + KEY
    (folder / "tokens").write_bytes(credentials)
    return inside.ApplicationMaster(
        {
            "KNIT_MASTER": f"127.0.0.1:{gate.server_port}",
            "KNIT_MASTER_ATTEMPT": "1",
            "CONTAINER_ID": "container_1_0001_01_000002",
            "HADOOP_TOKEN_FILE_LOCATION": str(folder / "tokens"),
        }
    )


@pytest.mark.parametrize("hours", [-24, 24])
@pytest.mark.parametrize("who", ["client", "container"])
def test_a_clock_that_is_off_costs_one_request_once(gate: Gate, tmp_path: Path, who: str, hours: int) -> None:
    gate.skew = hours * 3_600_000
    path = "/api/v1/application"
    if who == "client":
        client = _client(gate)
        replies = [client.get("/application") for _ in range(3)]
    else:
        container = _container(gate, tmp_path)
        replies = [container.call("GET", path) for _ in range(3)]
        container._close_connection()
    assert replies == [{"fine": True}] * 3
    assert gate.statuses == [401, 200, 200, 200]


def test_a_clock_that_is_set_right_while_the_program_runs_is_corrected_again(gate: Gate) -> None:
    client = _client(gate)
    for gate.skew in (0, 61_000, -61_000, 0):
        assert client.get("/application") == {"fine": True}
    assert gate.statuses == [200, 401, 200, 401, 200, 401, 200]
