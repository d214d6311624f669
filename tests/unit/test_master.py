"""Calls to an ApplicationMaster: long polls, ways that fail and come back, restarts, with real servers on the loopback."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from knit_core.errors import ConnectionFailed, MasterUnreachable
from knit_core.hadoop.application_master import ApplicationMasterClient
from knit_core.hadoop.http import DirectTransport, SimpleAuth
from knit_core.model.report import ApplicationReport
from knit_core.model.states import State
from tests.simulated_clock import SimulatedClock

KEY = b"k" * 32
ID = "application_1_0001"
REPORT = ApplicationReport(ID, "x", "alice", "default", State.RUNNING, None, attempt=1)


class FakeMaster:
    """Answers signed, each call after `delay` seconds; counts connections and calls."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay, self.calls, self.connections = delay, 0, 0
        master = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet

            def setup(self) -> None:
                super().setup()
                master.connections += 1

            def do_GET(self) -> None:
                master.calls += 1
                time.sleep(master.delay)
                nonce = parse_qs(urlsplit(self.path).query)["knonce"][0]
                body = signed(nonce, json.dumps({"fine": True}).encode())
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.host = f"127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def signed(nonce: str, reply: bytes, status: int = 200) -> bytes:
    """As docs/protocol.md says."""
    text = "\n".join(("knit-reply-1", nonce, str(status), hashlib.sha256(reply).hexdigest()))
    signature = hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()
    return b'{"signature":"' + signature.encode() + b'","reply":' + reply + b"}"


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeMaster]]:
    running: list[FakeMaster] = []

    def start(delay: float = 0.0) -> FakeMaster:
        running.append(FakeMaster(delay))
        return running[-1]

    yield start
    for server in running:
        server.close()


class Bed:
    """A ApplicationMasterClient whose report, clock and proxy the test sets.

    Attributes:
        report: what the ResourceManager says; an exception is raised.
        asked: how often it was asked.
    """

    def __init__(self, direct: str, proxied: str = "", **options: Any) -> None:
        tracking = proxied and f"http://{proxied}/proxy/{ID}/"
        self.report: ApplicationReport | Exception = replace(REPORT, master=direct, tracking_url=tracking)
        self.asked, self.direct, self.session = 0, DirectTransport(), requests.Session()
        auth = SimpleAuth("alice")
        self.master = ApplicationMasterClient(
            ID, lambda: KEY, self._locate, self.direct, lambda: self.session, auth, **options
        )

    def _locate(self) -> ApplicationReport:
        self.asked += 1
        if isinstance(self.report, Exception):
            raise self.report
        return self.report

    def moved(self, direct: str, attempt: int) -> None:
        assert isinstance(self.report, ApplicationReport)
        self.report = replace(self.report, master=direct, attempt=attempt)

    def close(self) -> None:
        self.direct.close()
        self.session.close()


@pytest.fixture
def bed() -> Iterator[Callable[..., Bed]]:
    made: list[Bed] = []

    def make(direct: str, proxied: str = "", **options: Any) -> Bed:
        made.append(Bed(direct, proxied, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _nobody() -> str:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_a_reply_that_takes_long_is_one_request_on_the_direct_way(
    serve: Callable[..., FakeMaster], bed: Callable[..., Bed]
) -> None:
    """The time to connect and the time of the reply are two things: long polls take most of a minute."""
    direct, proxy = serve(delay=0.8), serve()
    there = bed(direct.host, proxy.host, connect=0.3)
    for calls in (1, 2):
        assert there.master.get("/events", {"wait": "1"}, 1.0) == {"fine": True}
        assert (direct.calls, direct.connections, proxy.calls) == (calls, 1, 0)


def test_a_way_that_failed_once_is_tried_again_later(serve: Callable[..., FakeMaster], bed: Callable[..., Bed]) -> None:
    clock, direct, proxy = SimulatedClock(), serve(), serve()
    there = bed(direct.host, proxy.host, clock=clock)
    there.master.get("/application")
    good, there.direct.send = there.direct.send, _broken  # type: ignore[method-assign]
    there.master.get("/application")
    assert (direct.calls, proxy.calls) == (1, 1)
    there.direct.send = good  # type: ignore[method-assign]
    there.master.get("/application")
    assert (direct.calls, proxy.calls) == (1, 2)
    clock.sleep(1.0)
    there.master.get("/application")
    assert (direct.calls, proxy.calls) == (2, 2)


def _broken(*_args: object) -> tuple[int, bytes]:
    raise requests.ConnectionError("reset")


def test_a_firewall_costs_a_connection_now_and_then_for_a_week(
    serve: Callable[..., FakeMaster], bed: Callable[..., Bed]
) -> None:
    clock, proxy, tries = SimulatedClock(), serve(), 0
    there = bed("10.0.0.1:1", proxy.host, clock=clock)

    def swallowed(*_args: object) -> tuple[int, bytes]:
        nonlocal tries
        tries += 1
        clock.now += 3.0
        raise requests.ConnectTimeout("no answer")

    there.direct.send = swallowed  # type: ignore[method-assign]
    ends = clock.now + 7 * 86_400
    while clock.now < ends:
        there.master.get("/application")
        clock.sleep(1200.0)
    assert proxy.calls > 500
    assert tries <= proxy.calls + 1
    before = tries
    for _ in range(100):
        there.master.get("/application")
        clock.sleep(1.0)
    assert tries - before <= 1
    assert len(there.master._failed) <= 2


def test_a_restart_is_seen_half_a_second_later_at_most(
    serve: Callable[..., FakeMaster], bed: Callable[..., Bed]
) -> None:
    clock, first, second = SimulatedClock(), serve(), serve()
    there = bed(first.host, clock=clock)
    there.master.get("/application")
    good, begun = there.direct.send, clock.now

    def send(method: str, url: str, *rest: Any) -> tuple[int, bytes]:
        return good(method, url, *rest) if second.host in url else _broken()

    there.direct.send = send  # type: ignore[method-assign]

    def back(now: float) -> None:
        if now - begun >= 10.0:
            there.moved(second.host, 2)

    clock.on_sleep = back
    assert there.master.get("/application") == {"fine": True}
    assert second.calls == 1
    assert clock.now - begun <= 10.5


def test_a_node_that_is_gone_is_not_asked_through_the_proxy_when_there_is_a_new_attempt(
    serve: Callable[..., FakeMaster], bed: Callable[..., Bed]
) -> None:
    proxy, second = serve(), serve()
    there = bed(_nobody(), proxy.host)
    there.master.get("/application")
    there.master._failed.clear()
    there.moved(second.host, 2)
    there.master.get("/application")
    assert (proxy.calls, second.calls) == (1, 1)


def test_a_resourcemanager_that_is_away_does_not_end_the_wait(
    serve: Callable[..., FakeMaster], bed: Callable[..., Bed]
) -> None:
    clock, first, second = SimulatedClock(), serve(), serve()
    there = bed(first.host, clock=clock)
    there.master.get("/application")
    good, begun = there.report, clock.now
    there.direct.send, whole = _broken, there.direct.send  # type: ignore[method-assign]
    there.report = ConnectionFailed("away")

    def back(now: float) -> None:
        if now - begun >= 200.0:
            there.direct.send = whole  # type: ignore[method-assign]
            there.report = good

    clock.on_sleep = back
    assert there.master.get("/application") == {"fine": True}
    there.report, there.direct.send, clock.on_sleep = ConnectionFailed("away"), _broken, lambda now: None  # type: ignore[method-assign]
    begun = clock.now
    with pytest.raises(
        MasterUnreachable, match="the ResourceManager does not answer, so its present address is not known"
    ):
        there.master.get("/application")
    assert 300 <= clock.now - begun <= 303
    assert second.calls == 0


def test_one_that_was_never_reached_is_given_up_soon(bed: Callable[..., Bed]) -> None:
    clock = SimulatedClock()
    there, begun = bed(_nobody(), clock=clock), clock.now
    with pytest.raises(MasterUnreachable, match="connection refused"):
        there.master.get("/application")
    assert 5 <= clock.now - begun <= 6
    away = bed(_nobody(), clock=clock)
    away.report = ConnectionFailed("the ResourceManager is away")
    with pytest.raises(ConnectionFailed, match="is away"):
        away.master.get("/application")
