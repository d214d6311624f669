"""Logs of running containers through Knox: pages for people, used only where they show exactly what the file has."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from urllib.parse import unquote

import pytest

from knit_core.errors import ConnectionFailed, NotAuthorized, NotFound, ServiceUnavailable
from knit_core.hadoop.http import BasicAuth, Endpoint, HttpService, RetryPolicy
from knit_core.logs.live import gateway_logs
from knit_core.logs.live.follow_application import master_row
from knit_core.logs.live.gateway_logs import NodeOrGateway, exact, node_logs
from knit_core.model.report import parse_report
from tests.knox_harness import Seen, WebServer, basic
from tests.simulated_clock import SimulatedClock

CONTAINER = "container_1700000000000_0001_01_000002"
BASE = "/gateway/default/yarn"
NOBODY = "127.0.0.1:1"


class Pages(WebServer):
    """Knox, with a NodeManager's pages (org.apache.hadoop.yarn.server.nodemanager.webapp.ContainerLogsPage) behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.status, self.said, self.rewrites = 200, "No logs available for container", False

    def reply(self, seen: Seen, body: bytes) -> tuple[int, dict[str, str], bytes]:
        kind = {"Content-Type": "text/html; charset=utf-8"}
        if self.status != 200 or seen.query.get("host") != "127.0.0.1" or seen.query.get("scheme") != "http":
            return self.status if self.status != 200 else 404, {}, b""
        prefix = f"{BASE}/nodemanager/node/containerlogs/{CONTAINER}/alice/"
        name = unquote(seen.path.removeprefix(prefix)).rstrip("/")
        if not name:
            rows = [
                f'<p>\n<a href="/x/{each}?start=-4096">{html.escape(each)} : Total file length is {len(data)} bytes.</a>\n'
                for each, data in self.files.items()
            ]
            return 200, kind, f"<html>{''.join(rows) or f'<h1>{self.said}</h1>'}</html>".encode()
        content = self.files[name]
        start, end = int(seen.query["start"]), int(seen.query["end"])
        text = content[start:].decode("utf-8", "replace")[: end - start]  # it counts characters
        if self.rewrites:
            text = text.replace("http://rm:8088/proxy/", f"https://knox:8443{BASE}/proxy/")
        return 200, kind, f"<html><p>Showing</p>\n  <pre>{html.escape(text)}</pre>\n</html>".encode()


class Node(WebServer):
    """A NodeManager's API."""

    def reply(self, seen: Seen, body: bytes) -> tuple[int, dict[str, str], bytes]:
        info = [{"containerLogInfo": [{"fileName": "stdout", "fileSize": "3"}], "logAggregationType": "LOCAL"}]
        return 200, {"Content-Type": "application/json"}, json.dumps({"containerLogsInfo": info}).encode()


@pytest.fixture
def pages() -> Iterator[Pages]:
    server = Pages()
    yield server
    server.close()


def _http(pages: Pages, path: str = BASE) -> HttpService:
    auth = BasicAuth("alice", "secret", frozenset({pages.address}))
    return HttpService(Endpoint("NodeManager", (pages.address + path,), auth), RetryPolicy(budget=0))


@pytest.fixture
def logs(pages: Pages) -> Iterator[NodeOrGateway]:
    """Of a node that cannot be reached."""
    found = node_logs(_http(pages), NOBODY, clock=SimulatedClock())
    assert isinstance(found, NodeOrGateway)
    yield found
    found.close()


TEXT = 'café <b>"x" & y</b>\nüber\n\ttab 🐍\n'.encode()


def test_files_and_their_bytes(pages: Pages, logs: NodeOrGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    pages.files = {"stdout": TEXT * 40, "a b.log": b"plain\n", "empty": b""}
    assert logs.listing(CONTAINER).sizes == {"stdout": len(TEXT) * 40, "a b.log": 6, "empty": 0}
    for chunk in (1 << 20, 7, 100):
        monkeypatch.setattr(gateway_logs, "_CHUNK", chunk)
        assert b"".join(logs.read(CONTAINER, "a b.log", 2, 6)) == b"ain\n"
        start = len(TEXT) * 3
        assert b"".join(logs.read(CONTAINER, "stdout", start, len(TEXT) * 40)) == TEXT * 37
        assert list(logs.read(CONTAINER, "empty", 0, 0)) == []
    assert b"".join(logs.beginning(CONTAINER, "stdout", len(TEXT))).startswith(TEXT)
    assert {seen.authorization for seen in pages.asked} == {basic("alice", "secret")}


def test_a_character_that_is_being_written_waits_for_its_rest(pages: Pages, logs: NodeOrGateway) -> None:
    snake = "🐍".encode()
    for written in (1, 2, 3):
        pages.files["stdout"] = b"one\n" + snake[:written]
        logs.listing(CONTAINER)
        assert b"".join(logs.read(CONTAINER, "stdout", 0, 4 + written)) == b"one\n"
    pages.files["stdout"] = b"one\n" + snake
    assert b"".join(logs.read(CONTAINER, "stdout", 4, 8)) == snake


@pytest.mark.parametrize(
    ("content", "rewrites"),
    [(b"bytes \xff\xfe here\nmore\n", False), (b"see http://rm:8088/proxy/application_1/\nmore\n", True)],
)
def test_what_differs_from_the_file_is_not_passed_on(
    pages: Pages, logs: NodeOrGateway, content: bytes, rewrites: bool
) -> None:
    pages.files, pages.rewrites = {"stdout": content}, rewrites
    logs.listing(CONTAINER)
    with pytest.raises(ServiceUnavailable, match=r"differs from the file .*after the end"):
        list(logs.read(CONTAINER, "stdout", 0, len(content)))


def test_rewritten_addresses_among_other_letters() -> None:
    assert exact("é", 1, "/gateway/default") == "é".encode(), "it shows characters, not bytes"
    assert exact("é /gateway/default/yarn/proxy/", 30, "/gateway/default") is None
    assert exact("abcdef", 3, "/gateway/default") is None
    assert exact("abc", 6, "/gateway/default") is None


def test_containers_without_logs_and_those_of_others(pages: Pages, logs: NodeOrGateway) -> None:
    with pytest.raises(NotFound):
        logs.listing(CONTAINER)
    pages.said = "User [alice] is not authorized to view the logs for application application_1_0001"
    with pytest.raises(NotAuthorized, match="may not see them"):
        logs.listing(CONTAINER)


@pytest.mark.parametrize(
    ("status", "said"), [(403, r"403 \(Knox: gateway.dispatch.whitelist\)"), (500, "answered 500")]
)
def test_neither_way_leads_to_the_node(pages: Pages, logs: NodeOrGateway, status: int, said: str) -> None:
    pages.status = status
    with pytest.raises(ConnectionFailed) as caught:
        logs.listing(CONTAINER)
    assert caught.value.address.startswith(f"http://{NOBODY}, nor through the gateway: it answered {status}")


def test_the_node_itself_comes_first_and_again_later(pages: Pages) -> None:
    node, clock = Node(), SimulatedClock()
    logs = node_logs(_http(pages), node.address.removeprefix("http://"), clock=clock)
    assert logs.listing(CONTAINER).sizes == {"stdout": 3} and pages.asked == []
    assert node.asked[0].authorization == ""
    node.close()
    logs.close()
    pages.files["stdout"] = b"four"
    assert logs.listing(CONTAINER).sizes == {"stdout": 4}
    tried: list[str] = []
    monkey = logs._get  # the way to the node itself

    def counted(path: str, *args: object, **options: object) -> object:
        tried.append(path)
        return monkey(path, *args, **options)  # type: ignore[arg-type]

    logs._get = counted  # type: ignore[method-assign, assignment]
    logs.listing(CONTAINER)
    assert tried == [], "it is not waited for at each poll"
    clock.sleep(301)
    logs.listing(CONTAINER)
    assert len(tried) == 1
    logs.close()


def test_without_a_gateway_nothing_changes(pages: Pages) -> None:
    for path in ("", "/gateway/default/resourcemanager"):
        assert not isinstance(node_logs(_http(pages, path), NOBODY), NodeOrGateway)


def test_the_node_of_the_applicationmaster_when_knox_writes_its_address() -> None:
    logs = f"/node/containerlogs/{CONTAINER}/alice"
    for url in (f"http://nm1:8042{logs}", f"https://knox:8443{BASE}/nodemanager{logs}?scheme=http&host=nm1&port=8042"):
        app = {"id": "application_1700000000000_0001", "state": "RUNNING", "amContainerLogs": url}
        row = master_row(parse_report(app, "https://knox:8443/gateway/default/yarn"))
        assert row is not None and (row.yarn, row.node_http, row.host) == (CONTAINER, "nm1:8042", "nm1")
