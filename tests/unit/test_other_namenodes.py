"""One of two NameNodes is given, and it is a standby, or dies: the cluster's configuration names the other."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from knit_core import Knit
from knit_core.config import HadoopConf
from knit_core.config.namenodes import partners
from knit_core.errors import ConnectionFailed, ServiceUnavailable
from knit_core.hadoop.http import RetryPolicy
from tests.unit.hdfs_harness import Answer, Reply, Server, done, file_status, refusal, serve

__all__ = ["serve"]

JSON = {"Content-Type": "application/json"}
STANDBY = refusal("StandbyException", "Operation category READ is not supported in state standby")


class NameNode:
    """Active or standby; a DataNode of its own takes the data."""

    def __init__(self, start: Callable[[Answer], Server]) -> None:
        self.active = True
        self.replies: dict[str, Reply] = {}  # by operation, instead of the usual one
        self.datanode = start(lambda operation, path: (200, "bytes", {}) if operation == "OPEN" else (201, "", {}))
        self.server = start(self._answer)
        self.address, self.close = self.server.address, self.server.close

    @property
    def asked(self) -> list[str]:
        return [operation for operation, _ in self.server.asked]

    def _answer(self, operation: str, path: str) -> Reply:
        if operation == "GETHOMEDIRECTORY":  # standbys answer it, too
            return 200, json.dumps({"Path": "/user/alice"}), JSON
        if not self.active:
            return STANDBY
        if operation in self.replies:
            return self.replies[operation]
        if operation in {"CREATE", "OPEN"}:
            return 307, "", {"Location": f"{self.datanode.address}/webhdfs/v1{path}?op={operation}"}
        if operation == "LISTSTATUS":
            return 200, '{"FileStatuses": {"FileStatus": []}}', JSON
        return file_status("DIRECTORY" if path == "/" else "FILE") if operation == "GETFILESTATUS" else done()


class Cluster:
    """Two NameNodes, and a ResourceManager whose configuration names them."""

    def __init__(self, start: Callable[[Answer], Server]) -> None:
        self.given, self.other = NameNode(start), NameNode(start)
        self.properties = pair(self.given.address, self.other.address)
        self.manager = start(self._manage)

    def _manage(self, _operation: str, path: str) -> Reply:
        if path == "/conf":
            rows = [{"key": key, "value": value} for key, value in self.properties.items()]
            return 200, json.dumps({"properties": rows}), JSON
        return 200, json.dumps({"clusterInfo": {"state": "STARTED"}}), JSON


def pair(first: str, second: str, service: str = "ns") -> dict[str, str]:
    """The configuration of a nameservice."""
    return {
        "fs.defaultFS": f"hdfs://{service}",
        "dfs.nameservices": service,
        f"dfs.ha.namenodes.{service}": "nn1,nn2",
        f"dfs.namenode.http-address.{service}.nn1": first.removeprefix("http://"),
        f"dfs.namenode.http-address.{service}.nn2": second.removeprefix("http://"),
    }


@pytest.fixture
def cluster(serve: Callable[[Answer], Server]) -> Cluster:
    return Cluster(serve)


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Callable[..., Knit]]:
    made: list[Knit] = []

    def make(**options: str) -> Knit:
        settings = {"namenode": cluster.given.address, **options}
        knit = Knit(cluster.manager.address, user="alice", options=settings)
        knit.cluster.retry_timeout = 5.0
        made.append(knit)
        return knit

    yield make
    for knit in made:
        knit.close()


def _by_library(knit: Knit) -> None:
    assert knit.hdfs.status("/x") is not None


def _by_knit(knit: Knit) -> None:
    assert knit.hdfs.list("/x") == []


WAYS = pytest.mark.parametrize(
    ("first", "then"), [(_by_library, _by_knit), (_by_knit, _by_library)], ids=["library", "operate"]
)


@WAYS
def test_only_the_standby_is_given(
    first: Callable[[Knit], None], then: Callable[[Knit], None], cluster: Cluster, client: Callable[..., Knit]
) -> None:
    cluster.given.active = False
    knit = client()
    first(knit)
    assert knit.hdfs.address == cluster.other.address
    then(knit)
    assert knit.hdfs.waiting(RetryPolicy(budget=0)).status("/x") is not None
    assert len(cluster.given.asked) == 1, "both ways know the NameNode that served"
    assert len(cluster.other.asked) == 3


def test_files_are_written_and_read_when_only_the_standby_is_given(
    cluster: Cluster, client: Callable[..., Knit]
) -> None:
    cluster.given.active = False
    hdfs = client().hdfs
    assert hdfs.publish("/user/alice/x", b"x")
    assert hdfs.read("/user/alice/x") == b"bytes"
    assert [operation for operation, _ in cluster.other.datanode.asked] == ["CREATE", "OPEN"]
    assert cluster.given.asked == ["CREATE"]
    assert cluster.given.datanode.asked == []


@WAYS
def test_the_given_one_becomes_a_standby_and_then_dies(
    first: Callable[[Knit], None], then: Callable[[Knit], None], cluster: Cluster, client: Callable[..., Knit]
) -> None:
    given, other = cluster.given, cluster.other
    knit = client()
    first(knit)
    given.active = False
    then(knit)
    assert knit.hdfs.address == other.address
    other.active, given.active = False, True
    first(knit)
    assert knit.hdfs.address == given.address
    given.close()
    other.active = True
    then(knit)
    assert knit.hdfs.address == other.address


def test_the_given_one_was_never_there(cluster: Cluster, client: Callable[..., Knit]) -> None:
    cluster.given.close()
    knit = client()
    assert knit.hdfs.status("/x") is not None
    assert knit.hdfs.address == cluster.other.address


def test_the_xml_is_old(cluster: Cluster, client: Callable[..., Knit]) -> None:
    """It has one NameNode; the ResourceManager's configuration has two."""
    cluster.given.active = False
    knit = client()
    del knit.config.settings["namenode"]
    address = cluster.given.address.removeprefix("http://")
    knit.config.hadoop = HadoopConf({"fs.defaultFS": "hdfs://127.0.0.1:8020", "dfs.namenode.http-address": address})
    assert knit.config.namenodes.value == cluster.given.address
    assert knit.hdfs.status("/x") is not None


def test_the_xml_is_sufficient_when_the_resourcemanager_does_not_answer(
    cluster: Cluster, client: Callable[..., Knit]
) -> None:
    cluster.given.active = False
    cluster.manager.close()
    knit = client()
    knit.config.hadoop = HadoopConf(cluster.properties)
    assert knit.hdfs.status("/x") is not None


def test_a_standby_under_another_name_leads_to_the_others(cluster: Cluster, client: Callable[..., Knit]) -> None:
    cluster.given.active = False
    cluster.properties = pair("http://127.0.0.1:9", cluster.other.address)
    knit = client()
    assert knit.hdfs.status("/x") is not None
    assert knit.hdfs.address == cluster.other.address


def test_what_does_not_answer_and_has_another_name_may_be_another_server(
    cluster: Cluster, client: Callable[..., Knit]
) -> None:
    """HttpFS, or a tunnel: the way past it was not asked for."""
    cluster.properties = pair("http://127.0.0.1:9", cluster.other.address)
    cluster.given.close()
    with pytest.raises(ConnectionFailed, match=f"{cluster.given.address} \\(connection refused\\)"):
        client().hdfs.status("/x")
    assert cluster.other.asked == []


@pytest.mark.parametrize("closed", [True, False])
def test_a_cluster_with_one_namenode_has_no_other(closed: bool, cluster: Cluster, client: Callable[..., Knit]) -> None:
    address = cluster.other.address.removeprefix("http://")
    cluster.properties = {"fs.defaultFS": "hdfs://127.0.0.1:8020", "dfs.namenode.http-address": address}
    cluster.given.active = False
    if closed:
        cluster.given.close()
    with pytest.raises((ConnectionFailed, ServiceUnavailable)):
        client().hdfs.status("/x")
    assert cluster.other.asked == []


@pytest.mark.parametrize("path", ["", "/gateway/default"])
def test_behind_a_gateway_the_clusters_own_addresses_are_not_used(
    path: str, cluster: Cluster, client: Callable[..., Knit]
) -> None:
    cluster.given.active = False
    options = {"namenode": cluster.given.address + path} if path else {"auth": "basic", "password": "secret"}
    with pytest.raises(ServiceUnavailable):
        client(**options).hdfs.status("/x")
    assert cluster.other.asked == []


def test_nobody_serves(cluster: Cluster, client: Callable[..., Knit]) -> None:
    cluster.given.active = cluster.other.active = False
    knit = client()
    for call in (_by_library, _by_knit):
        with pytest.raises(ServiceUnavailable, match="does not serve now: Operation category READ") as caught:
            call(knit)
        assert caught.value.not_carried_out
    assert cluster.given.asked == cluster.other.asked == ["GETFILESTATUS", "LISTSTATUS"]
    assert cluster.manager.asked == [("", "/conf")]


def test_threads_that_meet_the_standby_at_once(cluster: Cluster, client: Callable[..., Knit]) -> None:
    cluster.given.active = False
    knit = client()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda at: (_by_knit if at % 2 else _by_library)(knit), range(16)))
    assert len(found) == 16
    assert knit.hdfs.address == cluster.other.address


@pytest.mark.parametrize("reply", [(0, "", {}), (503, "<html>busy</html>", {"Content-Type": "text/html"})])
def test_what_is_sent_once_is_not_repeated_at_the_other_after_a_lost_reply(
    reply: Reply, cluster: Cluster, client: Callable[..., Knit]
) -> None:
    cluster.given.replies = {"MKDIRS": reply, "RENAME": reply}
    for call in (lambda hdfs: hdfs.mkdir_once("/x"), lambda hdfs: hdfs.rename_once("/x", "/y")):
        with pytest.raises((ConnectionFailed, ServiceUnavailable)):
            call(client().hdfs)
    assert cluster.other.asked == []


def test_what_is_sent_once_goes_to_the_other_when_the_given_one_is_a_standby(
    cluster: Cluster, client: Callable[..., Knit]
) -> None:
    cluster.given.active = False
    client().hdfs.mkdir_once("/x")
    assert cluster.other.asked == ["MKDIRS"]


def test_the_home_folder_is_no_proof_that_a_namenode_serves(cluster: Cluster, client: Callable[..., Knit]) -> None:
    cluster.given.active = False
    knit = client()
    assert knit.hdfs.home() == "/user/alice"
    assert cluster.other.asked == []
    lines = knit.check()
    assert any(line.startswith(f"HDFS {cluster.other.address}, home /user/alice") for line in lines)
    both = f"{cluster.given.address},{cluster.other.address}"
    assert lines[-1].startswith(f"HDFS for containers {both} (dfs.namenode.http-address.ns.nn1 in ")


def test_a_datanode_that_is_dead_is_no_fault_of_the_namenode(cluster: Cluster, client: Callable[..., Knit]) -> None:
    cluster.other.active = False
    cluster.given.datanode.close()
    hdfs = client(namenode=f"{cluster.given.address},{cluster.other.address}").hdfs
    for call in (lambda: hdfs.read("/x"), lambda: hdfs.write("/x", b"x")):
        with pytest.raises(ConnectionFailed, match=f"the DataNode at {cluster.given.datanode.address}"):
            call()
        assert hdfs.address == cluster.given.address
    assert cluster.other.asked == []


def test_a_server_that_redirects_to_itself_gets_the_data_once(cluster: Cluster, client: Callable[..., Knit]) -> None:
    """HttpFS does; what is being written may have arrived although the reply is lost."""
    steps: list[Reply] = [
        (307, "", {"Location": f"{cluster.given.address}/webhdfs/v1/x?op=CREATE&data=true"}),
        (0, "", {}),
    ]
    cluster.given.replies = _Steps({"CREATE": steps})  # type: ignore[assignment]
    with pytest.raises(ConnectionFailed):
        client().hdfs.write("/x", b"x")
    assert cluster.given.asked == ["CREATE", "CREATE"]
    assert cluster.other.asked == []


class _Steps(dict[str, list[Reply]]):
    """Replies by operation, one after the other."""

    def __getitem__(self, operation: str) -> Reply:  # type: ignore[override]
        return super().__getitem__(operation).pop(0)


NS1 = pair("nn1.example.org:9870", "nn2.example.org:9870", "ns1")
NS2 = pair("nn3.example.org:9870", "nn4.example.org:9870", "NS2")
BOTH = {**NS2, **NS1, "dfs.nameservices": "ns1, NS2"}
TLS = {
    "dfs.http.policy": "HTTP_AND_HTTPS",
    "dfs.namenode.https-address.ns1.nn1": "nn1.example.org:9871",
    "dfs.namenode.https-address.ns1.nn2": "nn2.example.org:9871",
}
FIRST = ["http://nn1.example.org:9870", "http://nn2.example.org:9870"]
SECOND = ["http://nn3.example.org:9870", "http://nn4.example.org:9870"]
SECURE = ["https://nn1.example.org:9871", "https://nn2.example.org:9871"]


@pytest.mark.parametrize(
    ("given", "conf", "known", "expected"),
    [
        ("http://nn1.example.org:9870", NS1, {}, FIRST),
        ("http://NN2.example.org:9870", NS1, {}, FIRST),
        ("http://nn1:9870", NS1, {}, FIRST),
        ("http://nn1.elsewhere.org:9870", NS1, {}, []),
        ("http://nn1.example.org:14000", NS1, {}, []),
        ("http://nn3.example.org:9870", BOTH, {}, SECOND),
        ("http://nn3.example.org:9870", BOTH, {"standby": True}, SECOND),
        ("http://tunnel:1", BOTH, {}, []),
        ("http://tunnel:1", BOTH, {"standby": True}, FIRST),
        ("http://tunnel:1", BOTH, {"standby": True, "filesystem": "hdfs://ns2"}, SECOND),
        ("http://tunnel:1", NS1, {"standby": True, "filesystem": "hdfs://elsewhere"}, []),
        ("https://nn1.example.org:9871", {**NS1, **TLS}, {}, SECURE),
        ("https://nn1.example.org:9871", {**NS1, **TLS, "dfs.http.policy": "HTTPS_ONLY"}, {}, SECURE),
        ("http://nn1.example.org:9870", {**NS1, **TLS}, {}, FIRST),
        ("https://nn1.example.org:9871", NS1, {"standby": True}, []),
        ("http://nn1.example.org:9870", {"fs.defaultFS": "hdfs://nn1.example.org:8020"}, {"standby": True}, []),
    ],
)
def test_partners(given: str, conf: dict[str, str], known: dict[str, Any], expected: list[str]) -> None:
    assert partners(HadoopConf(conf), [given], **{"filesystem": "", "standby": False, **known}) == expected


def test_given_ones_need_no_configuration(cluster: Cluster, client: Callable[..., Knit]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        knit = client(namenode=f"{dead},{cluster.other.address}")
        assert knit.hdfs.status("/x") is not None
        assert knit.hdfs.list("/x") == []
    assert knit.hdfs.address == cluster.other.address
    assert cluster.manager.asked == []
