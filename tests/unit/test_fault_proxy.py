"""The fault proxy itself: each fault is what its name says, and heals."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.fault_proxy import (
    BlackHole,
    Cut,
    Delay,
    Fault,
    FaultProxy,
    HalfOpen,
    Refuse,
    RepeatReply,
    RepeatRequest,
    Reset,
    Slow,
    Stall,
    Unreachable,
    paused,
)

BODY = bytes(range(256)) * 40


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(f"{self.command} {self.path}")
        length = int(self.headers.get("Content-Length", 0))
        body = BODY if self.command == "GET" else self.rfile.read(length)
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nhello\r\n0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_GET

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        """Connections break here on purpose."""


@pytest.fixture
def seen() -> list[str]:
    """The requests that reached the server."""
    return []


@pytest.fixture
def proxy(seen: list[str]) -> Iterator[FaultProxy]:
    server = Server(("127.0.0.1", 0), type("Seeing", (Handler,), {"seen": seen}))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        with FaultProxy(server.server_address[:2]) as proxy:
            yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def get(
    proxy: FaultProxy, path: str = "/", timeout: float = 10, method: str = "GET", body: bytes | None = None
) -> bytes:
    connection = http.client.HTTPConnection(*proxy.address, timeout=timeout)
    try:
        connection.request(method, path, body)
        return connection.getresponse().read()
    finally:
        connection.close()


def test_forwards_and_counts(proxy: FaultProxy) -> None:
    assert [get(proxy) for _ in range(3)] == [BODY] * 3
    assert get(proxy, "/put", method="PUT", body=BODY) == BODY
    proxy.wait(lambda counts: counts.open == 0)
    assert proxy.counts.connections == 4
    assert proxy.counts.reply_bytes > 4 * len(BODY) and proxy.counts.request_bytes > len(BODY)
    assert proxy.counts.struck == 0
    proxy.reset_counts()
    assert proxy.counts.connections == 0


def test_delay_and_slow_start(proxy: FaultProxy) -> None:
    proxy.set(Delay("request", seconds=0.3))
    before = time.monotonic()
    assert get(proxy) == BODY
    assert time.monotonic() - before >= 0.3
    proxy.set(Slow("reply", rate=2000, first=600))
    before = time.monotonic()
    assert get(proxy) == BODY
    assert time.monotonic() - before >= 0.25
    assert proxy.counts.struck == 2


def test_healing_ends_a_pause_at_once(proxy: FaultProxy) -> None:
    proxy.set(Delay(seconds=60))
    threading.Timer(0.2, proxy.heal).start()
    assert get(proxy) == BODY


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Cut("reply", after=300), http.client.IncompleteRead),
        (Cut("reply"), http.client.RemoteDisconnected),
        (Reset("reply", after=300), ConnectionResetError),
        (Reset(), ConnectionResetError),
        (Refuse(), ConnectionRefusedError),
        (HalfOpen(), TimeoutError),
        (BlackHole(), TimeoutError),
        (BlackHole("reply"), TimeoutError),
        (Stall(), TimeoutError),
        (Stall("reply", after=300), TimeoutError),
        (Unreachable(), TimeoutError),
    ],
)
def test_the_client_sees_the_fault_and_healing_ends_it(
    proxy: FaultProxy, seen: list[str], fault: Fault, error: type[Exception]
) -> None:
    with proxy.failing(fault):
        with pytest.raises(error):
            get(proxy, timeout=0.4)
        arrived = bool(seen)
    assert arrived == (fault.direction == "reply"), "what concerns replies alone lets the request arrive"
    assert get(proxy) == BODY


def test_a_cut_in_the_request_body(proxy: FaultProxy, seen: list[str]) -> None:
    proxy.set(Cut("request", after=200))
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        get(proxy, "/put", method="PUT", body=BODY)


def test_a_fault_that_strikes_a_number_of_times(proxy: FaultProxy) -> None:
    proxy.set(Reset(), times=2)
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            get(proxy)
    assert get(proxy) == BODY
    assert proxy.counts.struck == 2 and proxy.fault is None


def test_connections_of_before_meet_the_fault(proxy: FaultProxy) -> None:
    connection = http.client.HTTPConnection(*proxy.address, timeout=0.4)
    connection.request("GET", "/")
    assert connection.getresponse().read() == BODY
    proxy.set(Refuse())
    with pytest.raises(ConnectionError):
        connection.request("GET", "/")
        connection.getresponse()
    connection.close()
    proxy.wait(lambda counts: counts.open == 0)


def test_a_stall_delivers_what_it_held(proxy: FaultProxy, seen: list[str]) -> None:
    for fault in (Stall(), Unreachable()):
        connection = http.client.HTTPConnection(*proxy.address, timeout=10)
        connection.connect()
        proxy.set(fault)
        connection.request("GET", "/")
        proxy.wait(lambda counts: counts.struck > 0)
        assert not seen
        proxy.heal()
        assert connection.getresponse().read() == BODY
        connection.close()
        seen.clear()
        proxy.reset_counts()


def test_a_black_hole_has_lost_what_it_swallowed(proxy: FaultProxy, seen: list[str]) -> None:
    connection = http.client.HTTPConnection(*proxy.address, timeout=10)
    connection.connect()
    proxy.set(BlackHole())
    connection.request("GET", "/")
    proxy.wait(lambda counts: counts.struck > 0)
    proxy.heal()
    with pytest.raises(ConnectionError):
        connection.getresponse()
    connection.close()
    assert not seen


def test_repeated_requests_and_replies(proxy: FaultProxy, seen: list[str]) -> None:
    proxy.set(RepeatRequest(match=b"PUT"))
    assert get(proxy, "/put", method="PUT", body=BODY) == BODY
    assert get(proxy, "/chunked") == b"hello"
    assert seen == ["PUT /put", "PUT /put", "GET /chunked"]
    proxy.set(RepeatReply())
    with socket.create_connection(proxy.address, timeout=10) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b"".join(iter(lambda: raw.recv(65536), b""))
    assert data.count(b"HTTP/1.1 200") == 2 and data.count(BODY) == 2


def test_addresses_are_rewritten_across_pieces() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, FaultProxy(server.getsockname()) as proxy:
        proxy.rewrite = {b"localhost:1234": b"127.0.0.1:5678"}
        client = socket.create_connection(proxy.address, timeout=10)
        target, _ = server.accept()
        target.sendall(b"at local")
        assert client.recv(100) == b"at "
        target.sendall(b"host:1234, or localhost:12")
        target.close()
        data = b"".join(iter(lambda: client.recv(100), b""))
        assert data == b"127.0.0.1:5678, or localhost:12"
        client.close()


def test_the_target_may_move(proxy: FaultProxy) -> None:
    old, proxy.target = proxy.target, ("127.0.0.1", 1)
    with pytest.raises(ConnectionError):
        get(proxy)
    proxy.target = old
    assert get(proxy) == BODY


def test_nothing_is_left_behind() -> None:
    files, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    for fault in (Stall(), Unreachable(), HalfOpen(), Refuse()):
        with FaultProxy(("127.0.0.1", 1)) as proxy:
            client = socket.create_connection(proxy.address)
            proxy.set(fault)
        client.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    assert threading.active_count() == threads


def test_a_paused_process_goes_on() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        with paused(process.pid):
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            assert Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        process.send_signal(signal.SIGTERM)
