"""One of two ResourceManagers is given, and it is a standby, or dies: the cluster's configuration names the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from knit_core import Knit
from knit_core.errors import ConnectionFailed, ServiceUnavailable
from knit_core.hadoop.http.failover import Failover, Failure


class Server:
    """A ResourceManager: active or standby, with the configuration of both."""

    def __init__(self) -> None:
        self.active, self.asked = True, list[str]()
        self.redirect = ""  # of a standby: to this address
        self.properties: dict[str, str] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0]
                server.asked.append(path)
                self.close_connection = True
                status, body = server.reply(path)
                self.send_response(status)
                self.send_header("Content-Type", "application/json" if status == 200 else "text/plain")
                self.send_header("Content-Length", str(len(body)))
                if status == 307 and server.redirect:
                    self.send_header("Location", f"{server.redirect}{self.path}")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_POST = do_PUT = do_GET

            def log_message(self, *_args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def reply(self, path: str) -> tuple[int, bytes]:
        if path == "/conf":
            rows = [{"key": key, "value": value} for key, value in self.properties.items()]
            return 200, json.dumps({"properties": rows}).encode()
        if not self.active:
            return 307, b"This is standby RM. The redirect url is: /ws/v1/cluster/apps/new-application"
        number = f"application_1_{len(self.asked):04d}"
        return 200, json.dumps(
            {"application-id": number, "maximum-resource-capability": {"memory": 8192, "vCores": 4}}
        ).encode()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def two() -> Iterator[tuple[Server, Server]]:
    pair = Server(), Server()
    properties = {"yarn.resourcemanager.ha.enabled": "true", "yarn.resourcemanager.ha.rm-ids": "rm1,rm2"}
    for number, server in enumerate(pair, 1):
        properties[f"yarn.resourcemanager.webapp.address.rm{number}"] = server.address.removeprefix("http://")
    for server in pair:
        server.properties = properties
    yield pair
    for server in pair:
        server.close()


@pytest.fixture
def client(two: tuple[Server, Server]) -> Iterator[Callable[..., Knit]]:
    made: list[Knit] = []

    def make(**options: str) -> Knit:
        made.append(Knit(two[0].address, user="alice", options=options))
        return made[-1]

    yield make
    for knit in made:
        knit.close()


def test_only_the_standby_is_given(two: tuple[Server, Server], client: Callable[..., Knit]) -> None:
    given, other = two
    given.active = False
    knit = client()
    assert str(knit.resourcemanager.new_application().id).startswith("application_1_")
    assert knit.resourcemanager.address == other.address
    assert given.asked == ["/ws/v1/cluster/apps/new-application", "/conf"]
    knit.resourcemanager.new_application()
    assert len(given.asked) == 2, "stays with the active one"


def test_the_given_one_becomes_a_standby_and_then_dies(two: tuple[Server, Server], client: Callable[..., Knit]) -> None:
    given, other = two
    knit = client()
    knit.resourcemanager.new_application()
    given.active = False
    knit.resourcemanager.new_application()
    assert knit.resourcemanager.address == other.address
    other.active, given.active = False, True
    knit.resourcemanager.new_application()
    assert knit.resourcemanager.address == given.address
    given.close()
    other.active = True
    knit.resourcemanager.new_application()
    assert knit.resourcemanager.address == other.address


def test_the_given_one_dies_when_its_configuration_is_known(
    two: tuple[Server, Server], client: Callable[..., Knit]
) -> None:
    given, other = two
    knit = client()
    assert knit.config.learn() is not None
    given.close()
    knit.resourcemanager.new_application()
    assert knit.resourcemanager.address == other.address


def test_nobody_is_active(two: tuple[Server, Server], client: Callable[..., Knit]) -> None:
    for server in two:
        server.active = False
    knit = client()
    knit.cluster.retry_timeout = 1.0
    with pytest.raises(ServiceUnavailable, match="This is standby RM"):
        knit.resourcemanager.new_application()


def test_who_was_never_there_leads_nowhere(two: tuple[Server, Server], client: Callable[..., Knit]) -> None:
    two[0].close()
    knit = client()
    knit.cluster.retry_timeout = 1.0
    with pytest.raises(ConnectionFailed, match="connection refused"):
        knit.resourcemanager.new_application()


def test_behind_a_gateway_the_clusters_own_addresses_are_not_used(
    two: tuple[Server, Server], client: Callable[..., Knit]
) -> None:
    given, other = two
    given.active = False
    knit = client(auth="basic", password="secret")
    knit.cluster.retry_timeout = 1.0
    with pytest.raises(ServiceUnavailable):
        knit.resourcemanager.new_application()
    assert other.asked == []


def test_the_only_one_is_not_asked_past_the_address_that_is_given(
    two: tuple[Server, Server], client: Callable[..., Knit]
) -> None:
    """The given address is a tunnel or a proxy, and the configuration names the server itself."""
    given, other = two
    given.active = False
    given.properties = {"yarn.resourcemanager.webapp.address": other.address.removeprefix("http://")}
    knit = client()
    knit.cluster.retry_timeout = 1.0
    with pytest.raises(ServiceUnavailable):
        knit.resourcemanager.new_application()
    assert other.asked == []


def test_the_configuration_is_that_of_the_active_one(two: tuple[Server, Server], client: Callable[..., Knit]) -> None:
    """A standby has not loaded HDFS's properties; it redirects most requests to the active one."""
    given, other = two
    given.active, given.redirect = False, other.address
    of_hdfs = {"dfs.namenode.http-address": "0.0.0.0:9870", "dfs.nameservices": "ns"}
    other.properties = {**given.properties, **of_hdfs}
    knit = client()
    conf = knit.config.learn()
    assert conf is not None and conf.get("dfs.nameservices") == "ns"
    assert other.asked.count("/conf") == 1
    given.asked.clear()
    knit.config.learn()
    assert given.asked == []


def test_two_threads_meet_the_standby_at_once(two: tuple[Server, Server], client: Callable[..., Knit]) -> None:
    two[0].active = False
    knit = client()
    knit.cluster.retry_timeout = 5.0
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: knit.resourcemanager.new_application(), range(8)))
    assert len(found) == 8


def test_https_is_not_left_for_http() -> None:
    failover = Failover(("https://rm1:8090",), lambda standby: ["http://rm2:8088", "https://rm3:8090"])
    asked: list[str] = []

    def send(base: str) -> None:
        asked.append(base)
        raise ServiceUnavailable("a standby")

    with pytest.raises(ServiceUnavailable):
        failover.call(send, lambda error, base: Failure("a standby", standby=True, repeatable=True), "list")
    assert asked == ["https://rm1:8090", "https://rm3:8090"]


def test_further_addresses_do_not_displace_the_one_that_another_thread_found() -> None:
    first: list[str] = []  # the address that served last, as each request of the test's own thread finds it

    def judge(_error: Exception, _base: str) -> Failure:
        return Failure("a standby", standby=True, repeatable=True)

    def send(base: str) -> None:
        first.append(failover.address)
        raise ServiceUnavailable(base)

    def send_from_another_thread(base: str) -> str:
        if base == "b":
            raise ServiceUnavailable(base)
        return base

    def others(_standby: bool) -> list[str]:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(failover.call, send_from_another_thread, judge, "list").result() == "a"
        return ["c"]

    failover = Failover(("b", "a"), others)
    failover.call(send_from_another_thread, judge, "list")
    with pytest.raises(ServiceUnavailable, match="c"):
        failover.call(send, judge, "list")
    assert failover.addresses == ("b", "c", "a")
    assert first == ["a", "b", "a"]
