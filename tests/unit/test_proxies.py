"""A cluster that is reached only through a proxy: all services, and nothing else."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from knit_core import Knit
from knit_core.config import load_config
from knit_core.config.proxies import Proxies, proxies_of
from knit_core.errors import ConfigError, ConnectionFailed
from knit_core.hadoop.http import DirectTransport
from knit_core.logs.live.nodemanager import NodeLogs
from tests.proxy_harness import Proxy

SOCKS = pytest.param("socks", marks=pytest.mark.skipif(not importlib.util.find_spec("socks"), reason="no PySocks"))


class _Cluster(BaseHTTPRequestHandler):
    """Every service of a cluster at one port; a file's bytes come from another host, as with DataNodes."""

    def do_GET(self) -> None:
        port = self.server.server_address[1]
        if "op=OPEN" in self.path and "datanode" not in self.path:
            self.send_response(307)
            self.send_header("Location", f"http://dn.knit.invalid:{port}/datanode{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        replies: dict[str, Any] = {
            "/ws/v1/cluster/info": {"clusterInfo": {"state": "STARTED"}},
            "/webhdfs/v1/": {
                "Path": "/user/alice",
                "FileStatus": {"length": 0, "modificationTime": 1, "type": "DIRECTORY"},
            },
            "/conf": {"properties": [{"key": "fs.defaultFS", "value": "hdfs://nn.knit.invalid:8020"}]},
            "/ws/v1/node/containers/c/logs": {
                "containerLogsInfo": {"containerLogInfo": {"fileName": "stdout", "fileSize": "3"}}
            },
        }
        path = self.path.partition("?")[0]
        body = b"bytes" if "op=OPEN" in self.path else json.dumps(replies.get(path, {"path": path})).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Cluster)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def _knit(tmp_path: Path, port: int, **settings: str) -> Knit:
    environ = {"HOME": str(tmp_path), "HTTP_PROXY": "http://127.0.0.1:1", "HADOOP_USER_NAME": "alice"}
    options = {"namenode": f"http://nn.knit.invalid:{port}", **settings}
    knit = Knit(config=load_config(f"http://rm.knit.invalid:{port}", options, environ, local=False))
    knit.retry_timeout = 5.0
    return knit


@pytest.mark.parametrize("kind", ["http", SOCKS])
def test_all_services_are_reached_through_it(kind: str, port: int, tmp_path: Path) -> None:
    proxy = Proxy(kind)
    try:
        with _knit(tmp_path, port, proxy=proxy.url) as knit:
            assert knit.resourcemanager.info()["state"] == "STARTED"
            assert knit.hdfs.read("/file") == b"bytes"
            node = NodeLogs(knit.nodes, f"nm.knit.invalid:{port}")
            assert node.listing("c").sizes == {"stdout": 3}
            node.close()
            status, body = knit.cluster.direct.send("GET", f"http://am.knit.invalid:{port}/api", b"", (5.0, 5.0))
            assert (status, json.loads(body)) == (200, {"path": "/api"})
    finally:
        proxy.close()
    assert {host for host, _ in proxy.asked} == {f"{name}.knit.invalid" for name in ("rm", "nn", "dn", "nm", "am")}


def test_some_hosts_are_reached_without_it(port: int, tmp_path: Path) -> None:
    proxy = Proxy("http")
    try:
        with _knit(tmp_path, port, proxy=proxy.url, no_proxy="dn.knit.invalid") as knit:
            with pytest.raises(ConnectionFailed):  # its name means something to the proxy only
                knit.hdfs.read("/file")
        with _knit(tmp_path, port, proxy=proxy.url, namenode=f"http://127.0.0.1:{port}") as knit:
            assert knit.hdfs.read("/file") == b"bytes"
    finally:
        proxy.close()
    assert [host for host, _ in proxy.asked] == ["nn.knit.invalid", "dn.knit.invalid"]


def test_a_proxy_with_a_password_and_one_that_is_not_there(port: int, tmp_path: Path) -> None:
    proxy = Proxy("http", user="me:s3cret")
    try:
        with _knit(tmp_path, port, proxy=proxy.url) as knit:
            assert knit.resourcemanager.info()["state"] == "STARTED"
            assert knit.cluster.direct.send("GET", f"http://am.knit.invalid:{port}/", b"", (5.0, 5.0))[0] == 200
            assert "s3cret" not in f"{knit.config.describe()} {knit.config.proxies!r}"
            assert knit.config.describe()["proxy"]["value"] == f"http://{proxy.place}"
    finally:
        proxy.close()
    with _knit(tmp_path, port, proxy=proxy.url) as knit:
        with pytest.raises(
            ConnectionFailed, match=rf"through the proxy http://{proxy.place} \(the proxy does not"
        ) as caught:
            knit.resourcemanager.info()
        assert "s3cret" not in str(caught.value) and caught.value.before_sending


def parts(proxies: Proxies) -> tuple[str, str, tuple[str, ...]]:
    return proxies.http, proxies.https, proxies.without


def test_the_environments_proxy_counts_only_when_it_is_asked_for(port: int, tmp_path: Path) -> None:
    proxy = Proxy("http")
    environ = {"HTTP_PROXY": proxy.url, "https_proxy": "http://other:1", "NO_PROXY": "nn.knit.invalid,10.0.0.0/8"}
    try:
        assert parts(proxies_of(None, None, environ)) == parts(Proxies())
        found = proxies_of("environment", "own.invalid", environ)
        assert parts(found) == parts(
            Proxies(proxy.url, "http://other:1", ("own.invalid", "nn.knit.invalid", "10.0.0.0/8"))
        )
        direct = DirectTransport(found)
        assert direct.send("GET", f"http://am.knit.invalid:{port}/", b"", (5.0, 5.0))[0] == 200
        direct.close()
        assert parts(proxies_of("environment", None, {"ALL_PROXY": "http://all:1"})) == (
            "http://all:1",
            "http://all:1",
            (),
        )
    finally:
        proxy.close()
    assert proxy.asked == [("am.knit.invalid", port)]


@pytest.mark.parametrize(
    ("host", "proxied"),
    [
        ("rm.example.org", True),
        ("localhost", False),
        ("127.0.0.1", False),
        ("[::1]", False),
        ("exact", False),
        ("inexact", True),
        ("a.domain.org", False),
        ("DOMAIN.org", False),
        ("mydomain.org", True),
        ("x.star.org", False),
        ("10.1.2.3", False),
        ("11.1.2.3", True),
        ("[fd00::1]", False),
    ],
)
def test_which_hosts_are_proxied(host: str, proxied: bool) -> None:
    proxies = proxies_of("proxy:3128", "exact, .domain.org,*.star.org,10.0.0.0/8,fd00::/8", {})
    assert proxies.of(f"http://{host}:8088/x") == ("http://proxy:3128" if proxied else "")
    assert proxies_of("proxy:3128", "*", {}).of(f"https://{host}") == ""


@pytest.mark.parametrize("url", ["ftp://proxy:1", "http://", "http://u:s3cret@proxy:port", "socks6://proxy"])
def test_what_is_no_proxy(url: str) -> None:
    with pytest.raises(ConfigError, match="is not a proxy's address: it looks like http://") as caught:
        proxies_of(url, None, {})
    assert "s3cret" not in str(caught.value)


def test_without_pysocks_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'pip install "knit-yarn\[socks\]"'):
        proxies_of("socks5h://localhost:1080", None, {})


def test_the_check_of_the_connection_names_it(port: int, tmp_path: Path) -> None:
    proxy = Proxy("http", user="me:s3cret")
    try:
        with _knit(tmp_path, port, proxy=proxy.url, no_proxy=".example.org") as knit:
            assert f"proxy http://{proxy.place}; reached without it: this machine itself, .example.org" in knit.check()
    finally:
        proxy.close()
