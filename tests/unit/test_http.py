"""HttpService against real servers on the loopback: retries, failover, and what each reply means.

More than 400 lines: all tests use the servers below.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from knit_core import Knit
from knit_core.errors import (
    ApplicationNotFound,
    ConnectionFailed,
    KnitError,
    MasterUnreachable,
    NotAuthorized,
    NotFound,
    RequestRefused,
    ServiceUnavailable,
    UnexpectedReply,
)
from knit_core.hadoop.application_master import ApplicationMasterClient
from knit_core.hadoop.http import (
    BasicAuth,
    DirectTransport,
    Endpoint,
    HttpService,
    RetryPolicy,
    SimpleAuth,
    server_detection,
)
from knit_core.hadoop.resource_manager import ResourceManager
from knit_core.model.report import ApplicationReport
from knit_core.model.states import State
from tests.simulated_clock import SimulatedClock

Reply = tuple[int, str, str]  # status, content type, body; status 0: close without a reply
OK: Reply = (200, "application/json", '{"fine": true}')
STANDBY: Reply = (503, "text/plain", "This is standby RM. The redirect url is: http://other")
QUICK = RetryPolicy(budget=1.5, first=0.01, longest=0.02)


class Server:
    """Answers with the given replies in turn, the last one for ever; keeps what was asked."""

    def __init__(self, *replies: Reply) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        left = list(replies)
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                server.asked.append((self.command, self.path, dict(self.headers)))
                status, kind, body = left.pop(0) if len(left) > 1 else left[0]
                self.close_connection = True
                if not status:
                    return
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            do_POST = do_PUT = do_GET

            def log_message(self, *_args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    running: list[Server] = []

    def start(*replies: Reply) -> Server:
        running.append(Server(*replies))
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture
def talk() -> Iterator[Callable[..., HttpService]]:
    made: list[HttpService] = []

    def make(*addresses: str, retry: RetryPolicy = QUICK, auth: object = None) -> HttpService:
        endpoint = Endpoint("ResourceManager", addresses, auth or SimpleAuth("alice"), timeout=(2.0, 2.0))  # type: ignore[arg-type]
        made.append(HttpService(endpoint, retry))
        return made[-1]

    yield make
    for service in made:
        service.close()


def _nobody() -> str:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def _remote(exception: str, message: str = "words") -> str:
    return json.dumps({"RemoteException": {"exception": exception, "message": f"{message}\nat a.stack"}})


def test_what_is_sent(serve: Callable[..., Server], talk: Callable[..., HttpService]) -> None:
    server = serve(OK)
    assert talk(server.address).get_json("/x", action="ask", params={"a": "b c"}) == {"fine": True}
    method, path, headers = server.asked[0]
    assert (method, path, headers["X-XSRF-Header"]) == ("GET", "/x?user.name=alice&a=b+c", "knit")
    talk(server.address, auth=BasicAuth("alice", "geheim", frozenset({server.address}))).get_json("/x", action="ask")
    assert server.asked[1][1] == "/x"
    assert server.asked[1][2]["Authorization"].startswith("Basic ")
    assert "geheim" not in repr(BasicAuth("alice", "geheim", frozenset()))


@pytest.mark.parametrize("fault", [(503, "text/plain", "busy"), (500, "text/plain", "oops"), (0, "", "")])
def test_a_get_is_tried_again(fault: Reply, serve: Callable[..., Server], talk: Callable[..., HttpService]) -> None:
    server = serve(fault, fault, OK)
    assert talk(server.address).get_json("/x", action="ask") == {"fine": True}
    assert len(server.asked) == 3


def test_a_post_is_tried_again_only_when_it_was_surely_not_carried_out(
    serve: Callable[..., Server], talk: Callable[..., HttpService]
) -> None:
    busy = serve((503, "text/plain", "busy"), OK)
    talk(busy.address).request("POST", "/x", action="submit", body={})
    assert len(busy.asked) == 2
    for fault in ((0, "", ""), (500, "text/plain", "oops")):
        broken = serve(fault, OK)
        with pytest.raises((ConnectionFailed, ServiceUnavailable)):
            talk(broken.address, serve(OK).address).request("POST", "/x", action="submit", body={})
        assert len(broken.asked) == 1


def test_a_try_that_takes_longer_than_the_budget_is_followed_by_another() -> None:
    """Tries are counted, too: what breaks after 25 s would never be tried again otherwise."""
    clock, broken = SimulatedClock(), ConnectionFailed("broken")

    def action(times: list[float]) -> Callable[[], str]:
        def act() -> str:
            clock.now += times.pop(0)
            if times:
                raise broken
            return "done"

        return act

    for tries in (2, 4):
        policy = RetryPolicy(budget=20.0, tries=tries, clock=clock)
        assert policy.call(action([25.0] * tries), idempotent=True) == "done"
        left = [25.0] * (tries + 2)
        with pytest.raises(ConnectionFailed):
            policy.call(action(left), idempotent=True)
        assert len(left) == 2
        with pytest.raises(ConnectionFailed):
            policy.call(action([25.0, 1.0]), idempotent=False)
    begun = clock.now
    with pytest.raises(ConnectionFailed):
        RetryPolicy(budget=20.0, clock=clock).call(action([0.0] * 10_000), idempotent=True)
    assert 20.0 <= clock.now - begun <= 25.0
    with pytest.raises(ConnectionFailed):
        RetryPolicy(budget=0, tries=4, clock=clock).call(action([1.0, 1.0]), idempotent=True)


def test_a_budget_of_a_week_is_used_up() -> None:
    clock, week = SimulatedClock(), 7 * 86_400.0
    begun = clock.now

    def action() -> None:
        raise ConnectionFailed("broken")

    with pytest.raises(ConnectionFailed):
        RetryPolicy(budget=week, longest=300.0, clock=clock).call(action, idempotent=True)
    assert week <= clock.now - begun <= week + 300.0
    assert max(clock.slept) <= 300.0


def test_failover_from_a_dead_address_and_from_a_standby(
    serve: Callable[..., Server], talk: Callable[..., HttpService]
) -> None:
    for first in (_nobody(), serve(STANDBY).address):
        second = serve(OK)
        service = talk(first, second.address, retry=RetryPolicy(budget=0))
        service.request("POST", "/x", action="submit", body={})
        assert service.address == second.address
        service.request("GET", "/x", action="ask")  # stays with who answered
        assert len(second.asked) == 2


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        ((401, "text/html", "<html>"), NotAuthorized, "answered 401 (as alice)"),
        (
            (404, "application/json", '{\n"servlet": "ws",\n"message": "Not Found"\n}'),
            NotFound,
            "answered 404: Not Found",
        ),
        ((403, "application/json", _remote("AccessControlException")), NotAuthorized, "403: words (as alice)"),
        ((500, "application/json", _remote("SecurityException")), NotAuthorized, "500: words"),
        ((404, "application/json", _remote("NotFoundException")), NotFound, "404: words"),
        ((400, "application/json", _remote("BadRequestException")), RequestRefused, "400: words"),
        ((500, "application/json", _remote("InvalidResourceRequestException")), RequestRefused, "500: words"),
        ((403, "application/json", _remote("StandbyException")), ServiceUnavailable, "403: words"),
        ((403, "application/json", _remote("SafeModeException")), ServiceUnavailable, "403: words"),
        ((429, "text/plain", "slowly"), ServiceUnavailable, "429: slowly"),
        ((200, "text/html", "<html>login</html>"), UnexpectedReply, "text/html where JSON was expected"),
    ],
)
def test_what_a_reply_means(
    reply: Reply, kind: type[KnitError], says: str, serve: Callable[..., Server], talk: Callable[..., HttpService]
) -> None:
    server = serve(reply)
    with pytest.raises(KnitError) as caught:
        talk(server.address, retry=RetryPolicy(budget=0)).get_json("/x", action="ask for x")
    assert type(caught.value) is kind
    assert str(caught.value).startswith("ask for x: ")
    assert server.address in str(caught.value)
    assert says in str(caught.value)
    assert "stack" not in str(caught.value)
    assert len([path for _method, path, _headers in server.asked if path.startswith("/x?")]) == 1


@pytest.mark.parametrize(
    ("path", "text", "what"),
    [
        ("/jmx", '{"beans": [{"name": "Hadoop:service=NameNode,name=JvmMetrics"}]}', "a NameNode"),
        ("/jmx", '{"beans": [{"name": "Hadoop:service=JobHistoryServer,name=JvmMetrics"}]}', "a JobHistory server"),
        ("/jmx", '{"beans": [{"name": "Hadoop:service=Balancer,name=JvmMetrics"}]}', "a Balancer"),
        ("/jmx", '{"beans": [{"name": "Hadoop:service=ResourceManager,name=JvmMetrics"}]}', ""),  # it is that one
        ("/api/v2/monitor/health", '{"metadatabase": {"status": "healthy"}}', "Airflow's api-server"),
        ("", "It looks like you are making an HTTP request to a Hadoop IPC port.", "the RPC port of a Hadoop server"),
        ("/nowhere", "", ""),
    ],
)
def test_a_wrong_address_says_what_answers_there(
    path: str,
    text: str,
    what: str,
    serve: Callable[..., Server],
    talk: Callable[..., HttpService],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = serve((404, "text/html", "<html>"))

    def asked(_session: requests.Session, url: str) -> str:
        return text if url.partition("?")[0] == f"{server.address}{path}" else "<html>"

    monkeypatch.setattr(server_detection, "_get_start", asked)
    with pytest.raises(NotFound) as caught:
        talk(server.address, retry=RetryPolicy(budget=0)).get_json("/x", action="ask for x")
    said = str(caught.value)
    assert (f" This is {what}" in said and "web port is 8088" in said) if what else "This is" not in said


def test_another_server_than_the_namenode_is_told(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    jmx = '{"beans": [{"name": "Hadoop:service=DataNode,name=JvmMetrics"}]}'
    monkeypatch.setattr(server_detection, "_get_start", lambda _session, url: jmx if "/jmx" in url else "")
    for reply in ((404, "text/html", "<html>"), (200, "text/html", "<html>")):
        with Knit("http://127.0.0.1:9", user="alice", options={"namenode": serve(reply).address}) as knit:
            knit.retry_timeout = 1
            with pytest.raises(KnitError, match=r"This is a DataNode: the NameNode's web port is 9870"):
                knit.hdfs.home()


@pytest.fixture
def rpc_port() -> Iterator[str]:
    """Answers GET as Hadoop's RPC servers do: without a length, and closing before it has read the request."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with server.accept()[0] as connection:
                        if connection.recv(4) == b"GET ":
                            connection.sendall(
                                b"HTTP/1.1 404 Not Found\r\nContent-type: text/plain\r\n\r\nIt looks like you are making an "
                                b"HTTP request to a Hadoop IPC port. This is not the correct port for the web interface on "
                                b"this daemon.\r\n"
                            )

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_an_rpc_port_is_named_at_once_with_the_port_that_is_meant(rpc_port: str) -> None:
    with Knit(rpc_port, user="alice", options={"namenode": rpc_port}) as knit:
        knit.clock = SimulatedClock(limit=0)
        for call, port in (
            (knit.resourcemanager.info, 8088),
            (knit.hdfs.home, 9870),
            (lambda: knit.hdfs.list("/"), 9870),
        ):
            with pytest.raises(UnexpectedReply) as told:
                call()
            assert f"{rpc_port} is the RPC port of a Hadoop server" in str(told.value)
            assert f"web port is {port}" in str(told.value)
            assert not told.value.transient
    assert server_detection.detect_server(rpc_port) == "the RPC port of a Hadoop server, not its web port"


def test_what_cannot_be_recognised_is_not_waited_for(serve: Callable[..., Server]) -> None:
    assert server_detection.detect_server(serve((200, "text/html", "<html>login</html>")).address) == ""
    assert server_detection.detect_server(_nobody()) == ""


def test_nobody_there_is_said_with_what_to_do(talk: Callable[..., HttpService]) -> None:
    address = _nobody()
    with pytest.raises(ConnectionFailed) as caught:
        talk(address, retry=RetryPolicy(budget=0)).get_json("/x", action="ask for x")
    assert str(caught.value) == (
        f"ask for x: no answer from the ResourceManager at {address} (connection refused); is it running there, and "
        "is this its web port?"
    )
    assert caught.value.before_sending


def test_the_environments_proxy_is_ignored(
    serve: Callable[..., Server], talk: Callable[..., HttpService], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = serve(OK), serve(OK)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.address)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    talk(server.address).get_json("/x", action="ask")
    assert (len(proxy.asked), len(server.asked)) == (0, 1)


def test_a_resourcemanager_that_starts_is_waited_for(
    serve: Callable[..., Server], talk: Callable[..., HttpService]
) -> None:
    """Its web server knows no application until it has read its records: 404 is not an answer then."""
    unknown: Reply = (
        404,
        "application/json",
        '{"RemoteException": {"exception": "NotFoundException", "message": "x"}}',
    )
    starting: Reply = (200, "application/json", '{"clusterInfo": {"id": 1, "haState": "INITIALIZING"}}')
    active: Reply = (200, "application/json", '{"clusterInfo": {"id": 1, "haState": "ACTIVE"}}')
    server = serve(unknown, starting, unknown, starting, unknown, active, unknown)
    with pytest.raises(ApplicationNotFound):
        ResourceManager(talk(server.address)).app("application_1_0001")
    assert len(server.asked) == 7
    with pytest.raises(ServiceUnavailable, match="is starting"):
        ResourceManager(talk(serve(*[unknown, starting] * 10_000).address)).app("application_1_0001")


def test_a_client_that_people_watch_gives_up_soon() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        knit = Knit(f"http://127.0.0.1:{silent.getsockname()[1]}", user="alice")
        knit.retry_timeout = 0.3
        began = time.monotonic()
        with knit, pytest.raises(ConnectionFailed, match="no reply in time"):
            knit.resourcemanager.apps()
        assert time.monotonic() - began < 5  # and not the 30 s of a reply, nor the 20 s of retries


def _master(talk: Callable[..., HttpService], direct: str, proxied: str = "") -> ApplicationMasterClient:
    """An ApplicationMaster's API at `direct`, the ResourceManager's proxy being at `proxied`; a password is configured."""
    auth = BasicAuth("alice", "geheim", frozenset({proxied or direct}))
    service = talk(proxied or direct, auth=auth)
    where = {
        "master": direct.removeprefix("http://"),
        "tracking_url": proxied and f"{proxied}/proxy/application_1_0001/",
    }
    report = ApplicationReport("application_1_0001", "x", "alice", "default", State.RUNNING, None, **where)
    return ApplicationMasterClient(
        report.id, lambda: b"k" * 32, lambda: report, DirectTransport(), lambda: service.session, auth, 0.5
    )


def test_a_password_goes_to_the_proxy_and_never_to_the_applications_own_address(
    serve: Callable[..., Server], talk: Callable[..., HttpService]
) -> None:
    direct, proxy = serve(OK), serve(OK)
    with pytest.raises(MasterUnreachable, match=r"directly at .* through the proxy at"):
        _master(talk, direct.address, proxy.address).put("/kv/a", "value")
    sent, proxied = direct.asked[0], proxy.asked[0]
    assert sent[0] == proxied[0] == "PUT" and "ksig=" in sent[1] and sent[2]["Content-Type"] == "application/json"
    assert "Authorization" not in sent[2] and "user.name" not in sent[1]
    assert proxied[2]["Authorization"].startswith("Basic ")


def test_the_direct_way_follows_no_redirect(serve: Callable[..., Server]) -> None:
    server = serve((302, "text/plain", ""))
    assert DirectTransport().send("GET", f"{server.address}/x", b"", (1, 1))[0] == 302
    assert len(server.asked) == 1


@pytest.mark.long
def test_what_went_wrong_on_the_direct_way(serve: Callable[..., Server], talk: Callable[..., HttpService]) -> None:
    with pytest.raises(MasterUnreachable, match="connection refused"):
        _master(talk, _nobody()).get("/application")
    with pytest.raises(MasterUnreachable, match="the connection broke"):
        _master(talk, serve((0, "", "")).address).get("/application")
    with pytest.raises(MasterUnreachable, match="DNS"):
        _master(talk, "http://no-such-host.invalid:1").get("/application")
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        with pytest.raises(MasterUnreachable, match="no reply in time"):
            _master(talk, f"http://127.0.0.1:{silent.getsockname()[1]}").get("/application")


@pytest.mark.parametrize("head", ["HTTP/1.1 404 Not Found\r\nDate: Mon", "HTTP/1.1 200 OK\r\nContent-Ty", "HTTP/1.1 2"])
def test_a_reply_that_breaks_within_its_head_is_asked_for_again(head: str) -> None:
    """A 404 whose rest is missing is not believed: what was asked for would count as gone."""
    whole = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"fine": true}'
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def answer() -> None:
            for reply in (head.encode(), whole):
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        endpoint = Endpoint("ResourceManager", (f"http://127.0.0.1:{server.getsockname()[1]}",), SimpleAuth("alice"))
        with closing(HttpService(endpoint, QUICK)) as service:
            assert service.get_json("/x", action="look") == {"fine": True}
        thread.join()
