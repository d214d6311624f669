"""The tokens of a launch on a cluster with Kerberos: their kinds, services and renewer, and who never sees them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from knit_container.credentials import Token
from knit_core.config import Config
from knit_core.config.hadoop_conf import from_reply
from knit_core.config.settings import Value
from knit_core.errors import ConfigError, UnexpectedReply
from knit_core.hadoop.cluster import Cluster
from knit_core.hadoop.delegation_tokens import filesystem_service, renewer_of, resourcemanager_service, tokens_for
from knit_core.hadoop.token_providers import TokenRequest, provided_tokens

PASSWORD = b"never to be seen"
OF_HDFS = Token(b"alice", PASSWORD, "WEBHDFS delegation", "10.0.0.1:8020")
OF_RESOURCEMANAGER = Token(b"alice", PASSWORD, "RM_DELEGATION_TOKEN", "")


def config_of(properties: dict[str, str], address: str = "http://rm.example.org:8088") -> Config:
    config = Config(settings={
        "resourcemanager": Value(address, "test"), "namenode": Value(address, "test"), "user": Value("alice", "test"),
    })  # fmt: skip
    rows = [{"key": key, "value": value} for key, value in properties.items()]
    config.remote = from_reply({"properties": rows}, address)
    return config


class Server:
    """Answers both requests for a token."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.hdfs: object = {"Token": {"urlString": OF_HDFS.encode()}}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                server.asked.append((query["op"][0], query["renewer"][0]))
                self.answer(server.hdfs)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.asked.append((urlsplit(self.path).path, body["renewer"]))
                self.answer({"token": OF_RESOURCEMANAGER.encode(), "renewer": body["renewer"]})

            def answer(self, reply: object) -> None:
                data = json.dumps(reply).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


HA = {
    "fs.defaultFS": "hdfs://ns",
    "dfs.ha.namenodes.ns": "nn1,nn2",
    "yarn.resourcemanager.principal": "yarn/_HOST@EXAMPLE.ORG",
    "yarn.resourcemanager.ha.enabled": "true",
    "yarn.resourcemanager.ha.rm-ids": "rm1,rm2",
    "yarn.resourcemanager.address.rm1": "127.0.0.1:8032",
    "yarn.resourcemanager.hostname.rm2": "localhost",
}


def test_both_tokens_have_the_kinds_and_services_that_clients_on_the_nodes_look_for(server: Server) -> None:
    config = config_of(HA, server.address)
    cluster = Cluster(config)
    found = tokens_for(config, cluster.hdfs, cluster.resourcemanager)
    cluster.close()
    assert server.asked == [
        ("GETDELEGATIONTOKEN", "yarn/127.0.0.1@EXAMPLE.ORG"),
        ("/ws/v1/cluster/delegation-token", "yarn/127.0.0.1@EXAMPLE.ORG"),
    ]
    assert {alias: (token.kind, token.service) for alias, token in found.items()} == {
        "hdfs": ("HDFS_DELEGATION_TOKEN", "ha-hdfs:ns"),
        "resourcemanager": ("RM_DELEGATION_TOKEN", "127.0.0.1:8032,127.0.0.1:8032"),
    }
    assert all(token._password.reveal() == PASSWORD for token in found.values())
    assert "never" not in repr(found)


def test_one_namenode_and_an_unset_address_keep_the_servers_services(server: Server) -> None:
    config = config_of({"fs.defaultFS": "hdfs://nn.example.org:8020"}, server.address)
    cluster = Cluster(config)
    found = tokens_for(config, cluster.hdfs, cluster.resourcemanager)
    cluster.close()
    assert [token.service for token in found.values()] == ["10.0.0.1:8020", ""]


@pytest.mark.parametrize("reply", [{"Token": None}, {"Token": {"urlString": "secret!"}}, {}, []])
def test_a_reply_without_a_token_is_told_without_its_text(server: Server, reply: object) -> None:
    server.hdfs = reply
    config = config_of(HA, server.address)
    cluster = Cluster(config)
    with pytest.raises(UnexpectedReply, match="did not answer with a token; does it use Kerberos") as caught:
        tokens_for(config, cluster.hdfs, cluster.resourcemanager)
    cluster.close()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("properties", "service"),
    [
        ({"yarn.resourcemanager.address": "rm.example.org:9032"}, "10.1.2.3:9032"),
        ({"yarn.resourcemanager.hostname": "RM.example.org"}, "10.1.2.3:8032"),
        (
            {"yarn.resourcemanager.hostname": "RM.example.org", "hadoop.security.token.service.use_ip": "false"},
            "rm.example.org:8032",
        ),
        ({"yarn.resourcemanager.address": "0.0.0.0:8032"}, ""),
        ({"yarn.resourcemanager.hostname": "${hostname}"}, ""),
        ({"yarn.resourcemanager.hostname": "inside.example.org"}, ""),
    ],
)
def test_the_service_of_a_resourcemanager(properties: dict[str, str], service: str) -> None:
    def resolve(host: str) -> str:
        if host == "inside.example.org":
            raise OSError("name not known")
        return "10.1.2.3"

    assert resourcemanager_service(config_of(properties), resolve) == service


def test_the_service_of_a_filesystem() -> None:
    assert filesystem_service(config_of({"fs.defaultFS": "hdfs://nn:8020"})) == ""
    assert filesystem_service(config_of({"fs.defaultFS": "hdfs://ns", "dfs.ha.namenodes.ns": "a,b"})) == "ha-hdfs:ns"


def test_the_renewer() -> None:
    assert renewer_of(config_of({"a": "b"}), "http://rm:8088") == "yarn"
    config = config_of({"yarn.resourcemanager.principal": "rm/_HOST@A"})
    assert renewer_of(config, "https://RM1.example.org:8090") == "rm/rm1.example.org@A"


class Provider:
    """An entry point."""

    value = "our_tokens:x"

    def __init__(self, name: str, result: object) -> None:
        self.name, self.result = name, result

    def load(self) -> Callable[[TokenRequest], object]:
        def provide(request: TokenRequest) -> object:
            if isinstance(self.result, Exception):
                raise self.result
            return self.result(request) if callable(self.result) else self.result

        return provide


REQUEST = TokenRequest("alice", "yarn", "http://rm:8088", {"hive.metastore.uris": "thrift://hive:9083"}.get)
HIVE = Token(b"hive", PASSWORD, "HIVE_DELEGATION_TOKEN", "")


def test_tokens_of_other_services_come_from_providers() -> None:
    def hive(request: TokenRequest) -> dict[str, str]:
        assert request.hadoop_property("hive.metastore.uris") == "thrift://hive:9083"
        return {"hive": HIVE.encode()}

    found = provided_tokens(REQUEST, [Provider("hive", hive), Provider("nothing", {})])
    assert {alias: token.kind for alias, token in found.items()} == {"hive": "HIVE_DELEGATION_TOKEN"}


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (ValueError("secret"), r"'p' \(our_tokens:x\) failed \(ValueError\)"),
        ({"x": "secret"}, "returned a text that is no token"),
        (["secret"], "failed"),
        ({"hdfs": HIVE.encode()}, "under the alias 'hdfs', which is taken"),
    ],
)
def test_a_provider_that_fails_is_named_without_what_it_returned(result: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        provided_tokens(REQUEST, [Provider("p", result)])
    assert "secret" not in str(caught.value)
