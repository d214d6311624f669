"""The application's page through the ResourceManager's proxy, a container's page below it, and who gets neither."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest
import requests

from knit_core import Application, Knit
from knit_core.local import LocalCluster
from tests.cluster_harness import eventually

pytestmark = pytest.mark.cluster
PROGRAM = """
import http.server, knit_container as knit
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Type", "text/plain"); self.end_headers()
        self.wfile.write(("seen " + self.path).encode())
server = http.server.HTTPServer(("", 0), Page)
knit.page("dash", server.server_port, "/status")
server.serve_forever()
"""


@pytest.fixture(scope="module")
def app(cluster: LocalCluster) -> Iterator[Application]:
    with Knit(cluster.resourcemanager_url, user="alice") as knit:
        one = knit.submit(["python3", "-c", PROGRAM], memory=128, name="<script>alert(1)</script>")
        one.wait_for_containers(1)
        eventually(one.pages, 30, "the container's page")
        yield one
        one.kill(grace=0)


@pytest.fixture
def browser() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.params = {"user.name": "bob"}  # the cluster has no ACLs: everybody may look
    return session


def test_the_page_through_the_proxy(app: Application, browser: requests.Session) -> None:
    base = app.report().tracking_url.rstrip("/")
    page = browser.get(f"{base}/", timeout=20)
    assert page.status_code == 200
    assert "<title>Knit</title>" in page.text
    for file in ("ui/knit.js", "ui/knit.css"):
        assert file in page.text
        assert browser.get(f"{base}/{file}", timeout=20).status_code == 200
    state = browser.get(f"{base}/ui/state.json", timeout=20).json()
    assert state["application"]["id"] == app.id
    assert [row["id"] for row in state["containers"]] == ["main_0"]
    assert {event["event"] for event in state["events"]} >= {"started", "container-started"}
    assert browser.post(f"{base}/ui/state.json", timeout=20).status_code == 405


def test_a_containers_page_through_the_proxy(app: Application, browser: requests.Session) -> None:
    address = app.pages()["dash"]
    assert browser.get(address, timeout=20).text == "seen /status"
    deeper = browser.get(address.replace("/status", "/a/b"), params={"x": "1"}, timeout=20)
    assert deeper.text == "seen /a/b?x=1"
    assert browser.get(address.replace("/dash/", "/nothing/"), timeout=20).status_code == 404


def test_who_comes_past_the_proxy_is_sent_there_whatever_its_cookie_says(app: Application) -> None:
    """From another address than the ResourceManager's; the cookie is what the proxy would send."""
    host, port = app.report().master.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20, source_address=("127.0.0.3", 0))
    for path in ("/", "/ui/state.json", "/pages/dash/status"):
        connection.request("GET", path, headers={"Cookie": "proxy-user=alice"})
        reply = connection.getresponse()
        text = reply.read().decode()
        assert reply.status == 302
        assert reply.headers["Location"].endswith(f"/proxy/{app.id}{path}")
        assert "main_0" not in text
    connection.close()
