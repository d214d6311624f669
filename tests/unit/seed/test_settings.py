"""A setting of knit 0.2.4 has its effect, or is refused or warned of; it is never ignored silently."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import knit
from knit import HDFSConfigException, Knit, KnitException, SettingIgnored, YARNException
from knit.namenode import Hint, place_of
from knit_core.config import HadoopConf
from tests.fake_cluster import FakeCluster
from tests.unit.seed.conftest import submitted

Write = Callable[..., Path]
ANONYMOUS = "hadoop.http.authentication.simple.anonymous.allowed"


@pytest.fixture
def other() -> Iterator[FakeCluster]:
    """Another cluster."""
    made = FakeCluster()
    made.properties["fs.defaultFS"] = "hdfs://elsewhere:8020"
    yield made
    made.close()


def _rm(made: Knit) -> list[str]:
    return made.client.config.resourcemanagers


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "http://rm1:8188"),
        ({"rm_port": 8089}, "http://rm1:8089"),
        ({"rm_port": "8089"}, "http://rm1:8089"),
        ({"rm": "rm2"}, "http://rm2:8188"),
        ({"rm": "rm2:99"}, "http://rm2:99"),
        ({"rm": "rm2", "rm_port": 1}, "http://rm2:1"),
        ({"rm": "https://rm2:7"}, "https://rm2:7"),
        ({"rm": "rm2", "rm_port": None}, "http://rm2:8188"),
        ({"yarn.http.policy": "HTTPS_ONLY"}, "https://rm1:8191"),
        ({"yarn.http.policy": "https_only"}, "https://rm1:8191"),
        ({"yarn.http.policy": "HTTPS_ONLY", "rm_port_https": 5}, "https://rm1:5"),
        ({"yarn.http.policy": "HTTPS_ONLY", "rm": "rm2", "rm_port": 5}, "https://rm2:8191"),
        ({"yarn.resourcemanager.webapp.address": "rm3:3"}, "http://rm3:3"),
        ({"yarn.resourcemanager.webapp.address": "rm3:3", "rm_port": 4}, "http://rm3:4"),
        ({"scheme": "https"}, "https://rm1:8090"),
        ({"scheme": "https", "rm_port": 5}, "https://rm1:5"),
        ({"rm": "p", "rm_port": 9, "gateway_path": "/default/resourcemanager"}, "http://p:9/default/resourcemanager"),
    ],
)
def test_the_resourcemanager(given: dict[str, Any], expected: str, configure: Write) -> None:
    yarn = {"yarn.resourcemanager.webapp.address": "rm1:8188", "yarn.resourcemanager.webapp.https.address": "rm1:8191"}
    configure({}, yarn)
    assert (
        _rm(Knit(pars=given)) == [expected] == _rm(Knit(pars={"rm_port": 6} if "rm_port" in given else None, **given))
    )


def test_the_hostname_of_the_files(configure: Write) -> None:
    configure({}, {"yarn.resourcemanager.hostname": "rm1"})
    assert _rm(Knit(rm_port=1)) == ["http://rm1:1"]
    assert _rm(Knit(pars={"yarn.http.policy": "HTTPS_ONLY"})) == ["https://rm1:8090"]
    assert _rm(Knit(pars={"yarn.resourcemanager.hostname": "rm9"})) == ["http://rm9:8088"]


def test_a_port_alone_is_asked_and_no_other(configured: Path, cluster: FakeCluster) -> None:
    k = Knit(rm_port=1)
    with pytest.raises(YARNException, match=r"127\.0\.0\.1:1\b.*proxy"):
        k.client.retry_timeout = 1
        k.start("ls")
    assert cluster.apps == {}


def test_a_port_without_a_host() -> None:
    with pytest.raises(HDFSConfigException, match=r"KNIT_RESOURCEMANAGER.*rm_port needs rm"):
        Knit(rm_port=8089)
    with pytest.raises(HDFSConfigException, match="KNIT_RESOURCEMANAGER"):
        Knit(nn="there")


def test_no_detection(configured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNIT_REPLICATION", "7")
    k = Knit(autodetect=False, rm="rm9")
    assert _rm(k) == ["http://rm9:8088"]
    assert k.client.config.get("replication") is None
    assert k.client.config.hadoop is None
    assert "dfs.replication" not in k.conf
    with pytest.raises(HDFSConfigException):
        Knit(autodetect=False)


def test_the_dictionary_of_the_configuration(configured: Path) -> None:
    k = Knit(pars={"rm_port_https": 1, "yarn.some.property": True}, rm_port_https=2, lang="C")
    wanted = {
        "rm": "127.0.0.1", "rm_port_https": 2, "replication_factor": 2, "user": "alice", "lang": "C",
        "nn": "nn", "nn_port": 8020, "dfs.replication": "2", "fs.defaultFS": "hdfs://nn:8020", "yarn.some.property": "true",
    }  # fmt: skip
    assert {key: k.conf[key] for key in wanted} == wanted
    assert isinstance(k.conf["rm_port"], int)
    assert k.client.config.hadoop_property("yarn.some.property").value == "true"  # type: ignore[union-attr]
    assert Knit(replication_factor=3).client.config.get("replication") == "3"
    assert Knit(hdfs_home="/data/alice").client.config.staging == "/data/alice/.knit"
    assert Knit(pars={"dfs.user.home.base.dir": "/d"}).hdfs_home == "/d"
    assert Knit(user="bob").hdfs_home == "/user/bob"
    assert Knit(queue="science").client.config.get("queue") == "science"


def test_the_folder_that_hdfs3s_variable_names(configured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HADOOP_CONF_DIR")
    monkeypatch.setenv("LIBHDFS3_CONF", str(configured / "hdfs-site.xml"))
    assert Knit().conf["dfs.replication"] == "2"
    assert knit.conf.find_config_files()["core"] == str(configured / "core-site.xml")


def test_names_that_mean_nothing_are_warned_of_once(configured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(SettingIgnored, match=r"rm_prot has no effect: did you mean rm_port\?") as caught:
        Knit(rm_prot=8088)
        Knit(rm_prot=8088)
    assert [Path(each.filename).name for each in caught] == [Path(__file__).name]
    with pytest.warns(SettingIgnored, match="knit_home has no effect: there is no jar"):
        Knit(knit_home="/opt/knit")
    monkeypatch.setenv("KNIT_HOME", "/opt/knit")
    with pytest.warns(SettingIgnored, match="KNIT_HOME has no effect: there is no jar"):
        Knit()
    with pytest.raises(KnitException, match="rm_port is a number, not 'x'"):
        Knit(rm_port="x")


def test_a_password(configured: Path) -> None:
    simple = {"hadoop.http.authentication.type": "simple", ANONYMOUS: "false"}
    with pytest.raises(KnitException, match="no anonymous callers"):
        Knit(pars=simple)
    k = Knit(pars=simple, password="hello", user="other")
    assert k.yarn_api.auth == ("other", "hello")
    assert (k.client.config.get("auth"), k.client.config.user) == ("basic", "other")
    Knit(pars={ANONYMOUS: "true"})
    kerberos = Knit(pars={**simple, "hadoop.http.authentication.type": "kerberos"})
    assert kerberos.client.config.get("auth") == "kerberos"


@pytest.mark.parametrize("name", ["nn", "NN"])
def test_the_host_of_the_namenode_takes_the_detected_web_port(
    name: str, configured: Path, cluster: FakeCluster
) -> None:
    k = Knit(nn=name)
    k.start("true")
    assert k.client.hdfs.address == cluster.address
    entry = submitted(cluster)["am-container-spec"]["local-resources"]["entry"][0]
    assert entry["value"]["resource"].startswith("hdfs://nn:8020/")
    k.kill()


def test_a_namenode_that_only_the_resourcemanager_knows(cluster: FakeCluster) -> None:
    host, _, port = cluster.address.partition("://")[2].partition(":")
    k = Knit(rm=host, rm_port=port, nn="127.0.0.1", nn_port=8020)
    k.start("true")
    assert k.client.hdfs.address == cluster.address
    k.kill()


@pytest.mark.parametrize("port", [8021, 9000])
def test_a_port_that_is_not_that_of_hdfs(port: int, configured: Path, cluster: FakeCluster) -> None:
    with pytest.raises(KnitException, match=rf"nn_port={port} is not the port of the cluster's HDFS, hdfs://nn:8020"):
        Knit(nn_port=port).start("true")
    assert cluster.apps == {}
    assert list(cluster.files) == ["/"]


def test_a_namenode_of_another_cluster_is_refused(configured: Path, cluster: FakeCluster, other: FakeCluster) -> None:
    host, _, port = other.address.partition("://")[2].partition(":")
    for given in ({"nn": host, "nn_http_port": port}, {"nn": other.address}):
        k = Knit(pars=given)
        uses = (lambda k: k.start("true"), lambda k: k.check_needs_upload(__file__), lambda k: k.hdfs, Knit.list_envs)
        for use in uses:
            with pytest.raises(
                KnitException, match=r"belongs to another cluster: it serves hdfs://elsewhere:8020, .*hdfs://nn"
            ):
                use(k)
    assert list(other.files) == list(cluster.files) == ["/"]
    assert cluster.apps == other.apps == {}


def test_where_a_namenode_is() -> None:
    conf = HadoopConf({"fs.defaultFS": "hdfs://a.example.org:9000", "dfs.namenode.http-address": "0.0.0.0:50070"})
    only_name = HadoopConf({"fs.defaultFS": "hdfs://a.example.org:9000"})
    pair = HadoopConf({
        "fs.defaultFS": "hdfs://ns", "dfs.ha.namenodes.ns": "x,y", "dfs.nameservices": "ns",
        "dfs.namenode.http-address.ns.x": "x:1", "dfs.namenode.http-address.ns.y": "y:1",
    })  # fmt: skip
    for hint in (Hint("a"), Hint("A.example.org", 9000), Hint("", 9000)):
        found = place_of(hint, [only_name, conf])
        assert (found.urls, found.filesystem, found.sure) == (
            ("http://a.example.org:50070",),
            "hdfs://a.example.org:9000",
            True,
        )
    for hint in (Hint("ns"), Hint("y"), Hint("ns", 8020)):
        assert place_of(hint, [pair]).urls == ("http://x:1", "http://y:1")
    assert place_of(Hint("b"), [conf]).urls == ("http://b:50070",)
    assert not place_of(Hint("b"), [conf]).sure
    unknown = place_of(Hint("b", 7), [])
    assert (unknown.urls, unknown.filesystem, unknown.sure) == (("http://b:9870",), "hdfs://b:7", False)
    with pytest.raises(KnitException, match="nn_port=7 needs nn"):
        place_of(Hint("", 7), [])


def test_behind_a_gateway_its_own_webhdfs_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    remote = HadoopConf({"fs.defaultFS": "hdfs://nn1:9000", "dfs.namenode.http-address": "nn1:9870"})
    for name, sure in (("nn1", True), ("nn2", False)):
        k = Knit(rm="gw", rm_port=8443, gateway_path="/gateway/default", nn=name)
        monkeypatch.setattr(k.client.config, "learn", lambda: remote)
        if sure:
            k.find_namenode()
            assert "namenode" not in k.client.config.settings
            assert k.client.config.filesystem.value == "hdfs://nn1:9000"
        else:
            with pytest.raises(KnitException, match="nn=nn2 is none of the NameNodes of hdfs://nn1:9000"):
                k.find_namenode()


def test_a_given_address_of_the_named_namenode_stays(configured: Path, cluster: FakeCluster) -> None:
    """A tunnel to it, for example."""
    k = Knit(nn="nn", namenode="http://localhost:1")
    k.find_namenode()
    assert k.client.config.namenodes.value == "http://localhost:1"


def test_the_modules_functions(configured: Path) -> None:
    conf = knit.conf
    assert (
        conf.get_host_port("hdfs://foo.bar.com:8080") == conf.get_host_port("foo.bar.com:8080") == ("foo.bar.com", 8080)
    )
    assert conf.get_host_port("foo.bar.com") == ("foo.bar.com", None)
    assert conf.infer_extra_params({}) == {**conf.DEFAULTS, "user": conf.current_user()}
    found = conf.infer_extra_params({
        "dfs.replication": 10, "yarn.resourcemanager.webapp.address": "a:1", "yarn.resourcemanager.hostname": "b",
        "yarn.resourcemanager.webapp.https.address": "a:2",
    })  # fmt: skip
    assert (found["replication_factor"], found["rm"], found["rm_port"], found["rm_port_https"]) == (10, "a", 1, 2)
    assert conf.infer_extra_params({"yarn.resourcemanager.hostname": "b"})["rm"] == "b"
    assert knit.get_config(autodetect=False, rm="e") == {"rm": "e"}
    assert knit.get_config(pars={"rm": "e"})["dfs.replication"] == "2"
    assert conf.config_to_dict(str(configured / "yarn-site.xml"))["dfs.replication"] == "2"
    conf.reset_config_cache()
