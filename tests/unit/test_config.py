"""Where a setting comes from: the order of places, Hadoop's XML rules, and what is said when there is no cluster.

More than 400 lines: all tests read settings through the folder and the variables below.
"""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from knit_core import Knit
from knit_core.config import Config, HadoopConf, load_config
from knit_core.config.hadoop_conf import from_reply
from knit_core.config.identity import same_user
from knit_core.config.settings import SETTINGS
from knit_core.errors import ConfigError, ConnectionFailed, NoClusterFound
from tests.simulated_clock import SimulatedClock


def _xml(folder: Path, name: str = "yarn-site.xml", final: tuple[str, ...] = (), **properties: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = "".join(
        f"<property><name>{key.replace('__', '-').replace('_', '.')}</name><value>{value}</value>"
        f"<final>{'true' if key in final else 'false'}</final></property>"
        for key, value in properties.items()
    )
    (folder / name).write_text(f"<configuration>{rows}</configuration>")
    return folder


def _load(tmp_path: Path, address: str | None = None, options: Any = None, **environ: str) -> Config:
    return load_config(address, options, {"HOME": str(tmp_path), "HADOOP_USER_NAME": "alice", **environ}, local=False)


def test_the_order_of_places(tmp_path: Path) -> None:
    hadoop = {"HADOOP_CONF_DIR": str(_xml(tmp_path / "conf", yarn_resourcemanager_hostname="from-xml"))}
    file = tmp_path / "knit.yaml"
    file.write_text("resourcemanager: from-file\nqueue: science\n")
    both = {**hadoop, "KNIT_CONFIG": str(file)}
    everything = {**both, "KNIT_RESOURCEMANAGER": "from-env"}
    option = {"resourcemanager": "from-option"}
    for config, host, source in [
        (_load(tmp_path, **hadoop), "from-xml", "yarn.resourcemanager.hostname in "),
        (_load(tmp_path, **both), "from-file", str(file)),
        (_load(tmp_path, **everything), "from-env", "KNIT_RESOURCEMANAGER"),
        (_load(tmp_path, options=option, **everything), "from-option", "argument resourcemanager"),
        (_load(tmp_path, "from-call", option, **everything), "from-call", "argument resourcemanager"),
    ]:
        assert config.resourcemanagers == [f"http://{host}:8088"]
        assert config.settings["resourcemanager"].source.startswith(source)
    assert _load(tmp_path, **both).get("queue") == "science"
    assert _load(tmp_path, KNIT_QUEUE="other", **both).settings["queue"].source == "KNIT_QUEUE"


def test_xml_of_another_cluster_is_not_used(tmp_path: Path) -> None:
    folder = _xml(tmp_path / "conf", yarn_resourcemanager_hostname="rm", fs_defaultFS="hdfs://nn:8020")
    assert _load(tmp_path, "http://rm:8088", HADOOP_CONF_DIR=str(folder)).filesystem.value == "hdfs://nn:8020"
    with pytest.raises(ConfigError, match="KNIT_NAMENODE"):
        _ = _load(tmp_path, "http://elsewhere:8088", HADOOP_CONF_DIR=str(folder)).namenodes


def test_the_resourcemanagers_own_words_come_after_the_xml(tmp_path: Path) -> None:
    folder = _xml(tmp_path / "conf", yarn_resourcemanager_hostname="rm", a="xml")
    config = _load(tmp_path, HADOOP_CONF_DIR=str(folder))
    rows = [{"key": "a", "value": "remote"}, {"key": "fs.defaultFS", "value": "hdfs://nn:9820"}]
    asked: list[int] = []

    def fetch() -> HadoopConf:
        asked.append(1)
        return from_reply({"properties": rows}, "http://rm:8088")

    config.fetch = fetch
    assert config.hadoop_property("a") is not None
    assert str(config.hadoop_property("a")) == "xml"
    assert asked == []
    assert config.cluster_property("a", "default") == "remote"
    assert config.cluster_property("b", "default") == "default"
    assert (config.filesystem.value, config.filesystem.source) == ("hdfs://nn:9820", "http://rm:8088/conf")
    assert config.namenodes.value == "http://nn:9870"
    assert asked == [1]
    with pytest.raises(ConfigError, match="no Hadoop configuration"):
        from_reply({}, "http://rm:8088")


def test_no_cluster_names_every_place(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    unset = _xml(tmp_path / "unset", yarn_resourcemanager_hostname="0.0.0.0")
    with pytest.raises(NoClusterFound) as caught:
        _load(tmp_path, HADOOP_CONF_DIR=str(empty), YARN_CONF_DIR=str(unset))
    text = str(caught.value)
    for place in (
        "the address given in the call",
        "KNIT_RESOURCEMANAGER",
        f"{tmp_path}/.config/knit/config.yaml (does not exist)",
        f"{empty} (HADOOP_CONF_DIR: no Hadoop configuration there)",
        f"{unset} (YARN_CONF_DIR: yarn-site.xml names no ResourceManager)",
        "/etc/hadoop/conf",
        "knit local up",
    ):
        assert place in text
    assert "localhost" not in text


def test_high_availability_and_https(tmp_path: Path) -> None:
    folder = _xml(
        tmp_path / "conf",
        yarn_http_policy="HTTPS_ONLY",
        yarn_resourcemanager_ha_enabled="true",
        **{"yarn_resourcemanager_ha_rm__ids": "rm1, rm2,rm3"},
        yarn_resourcemanager_webapp_https_address_rm1="one:9000",
        yarn_resourcemanager_webapp_https_address_rm2="0.0.0.0:8090",
        yarn_resourcemanager_hostname_rm2="two",
    )
    assert _load(tmp_path, HADOOP_CONF_DIR=str(folder)).resourcemanagers == ["https://one:9000", "https://two:8090"]


def test_namenodes_under_high_availability(tmp_path: Path) -> None:
    folder = _xml(
        tmp_path / "conf",
        yarn_resourcemanager_hostname="rm",
        fs_defaultFS="hdfs://ns",
        dfs_ha_namenodes_ns="a,b",
        **{"dfs_namenode_http__address_ns_a": "nn1:1", "dfs_namenode_http__address_ns_b": "nn2:2"},
    )
    config = _load(tmp_path, HADOOP_CONF_DIR=str(folder))
    assert (config.namenodes.value, config.filesystem.value) == ("http://nn1:1,http://nn2:2", "hdfs://ns")


def test_expansion_and_final(tmp_path: Path) -> None:
    folder = _xml(tmp_path / "conf", "core-site.xml", final=("kept",), kept="core", changed="core")
    _xml(
        folder,
        yarn_resourcemanager_hostname="${env.RM:-fallback}",
        kept="yarn",
        changed="yarn",
        a="${b}/x",
        b="${env.B}",
        c="${unknown}",
        loop="${loop}x",
    )
    config = _load(tmp_path, HADOOP_CONF_DIR=str(folder), B="bee")
    assert config.resourcemanagers == ["http://fallback:8088"]
    assert _load(tmp_path, HADOOP_CONF_DIR=str(folder), RM="real").resourcemanagers == ["http://real:8088"]
    assert config.hadoop is not None
    found = {name: config.hadoop.get(name) for name in ("kept", "changed", "a", "c")}
    assert found == {"kept": "core", "changed": "yarn", "a": "bee/x", "c": "${unknown}"}
    assert config.hadoop.get("loop", "")  # ends
    assert config.hadoop.source("kept") == f"{folder}/core-site.xml (HADOOP_CONF_DIR)"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"resorcemanager": "x"}, "'resorcemanager' .* did you mean 'resourcemanager'"),
        ({"resourcemanager": "ftp://rm"}, "is not an address for resourcemanager"),
        ({"resourcemanager": "rm:port"}, "is not an address for resourcemanager"),
        ({"resourcemanager": "rm", "auth": "kerberos5"}, "auth 'kerberos5' .* is not supported"),
        ({"resourcemanager": "rm", "api_ports": "many"}, "is not like 40000-40100"),
        ({"resourcemanager": "rm", "class_sharing": "maybe"}, "class_sharing 'maybe' .* is not true or false"),
        ({"resourcemanager": "rm", "user": "a b"}, "is not a user name"),
    ],
)
def test_mistakes(options: dict[str, str], says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        _load(tmp_path, options=options)


@pytest.mark.parametrize(
    ("text", "says"),
    [("a: [", "is not YAML"), ("- a", "not list"), ("quue: x", "did you mean 'queue'"), ("1: x", "no setting")],
)
def test_mistakes_in_the_file(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "knit.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        _load(tmp_path, "rm", KNIT_CONFIG=str(file))
    with pytest.raises(ConfigError, match="which does not exist"):
        _load(tmp_path, "rm", KNIT_CONFIG=str(tmp_path / "gone"))


def test_nothing_in_the_file_is_nothing(tmp_path: Path) -> None:
    file = tmp_path / "knit.yaml"
    file.write_text("queue:\n")
    assert _load(tmp_path, "rm", KNIT_CONFIG=str(file)).get("queue") is None


def test_broken_xml_is_named(tmp_path: Path) -> None:
    (tmp_path / "yarn-site.xml").write_text("<configuration>")
    with pytest.raises(ConfigError, match=r"yarn-site.xml is not well-formed XML"):
        _load(tmp_path, HADOOP_CONF_DIR=str(tmp_path))


def test_secrets_are_masked(tmp_path: Path) -> None:
    config = _load(tmp_path, "rm", {"auth": "basic", "password": "geheim"}, KNIT_GATEWAY_PATH="/gateway/default/")
    assert "geheim" not in str(config.describe())
    assert config.describe()["password"] == {"value": "***", "source": "argument password"}
    assert config.resourcemanagers == ["http://rm:8088/gateway/default"]
    assert (config.user, config.staging) == ("alice", "/user/alice/.knit")


def test_credentials_in_an_address_become_user_and_password(tmp_path: Path) -> None:
    config = _load(tmp_path, "https://al%40ice:pa%3Ass@gate:8443/x, https://al%40ice:pa%3Ass@other")
    assert config.resourcemanagers == ["https://gate:8443/x", "https://other"]
    assert (config.user, config.get("password"), config.get("auth")) == ("al@ice", "pa:ss", "basic")
    assert "pa:ss" not in str(config.describe()) and "pa%3Ass" not in str(config.describe())
    assert _load(tmp_path, "rm", KNIT_NAMENODE="http://bob@nn:1").user == "bob"
    with pytest.raises(ConfigError, match="different users"):
        _load(tmp_path, "https://a:1@gate, https://a:2@gate")
    with pytest.raises(ConfigError, match=r"password differs between the resourcemanager's address") as caught:
        _load(tmp_path, "https://a:hush@gate", KNIT_PASSWORD="other", KNIT_AUTH="basic")
    assert "hush" not in str(caught.value) and "other" not in str(caught.value).replace("another", "")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"KNIT_PASSWORD": "x"}, r"password is set \(KNIT_PASSWORD\).*KNIT_AUTH=basic.*remove the password"),
        ({"KNIT_PASSWORD": "x", "KNIT_USER": "bob"}, "but auth is not"),
        ({"KNIT_PASSWORD": "x", "KNIT_AUTH": "simple"}, r"simple \(KNIT_AUTH\).*KNIT_AUTH=basic.*remove the password"),
        ({"KNIT_AUTH": "basic"}, r"no password.*KNIT_PASSWORD.*simple"),
        ({"KNIT_AUTH": "ntlm"}, "not supported: set simple, basic, token or kerberos"),
    ],
)
def test_half_set_authentication_is_refused_with_both_remedies(
    settings: dict[str, str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        _load(tmp_path, "rm", **settings)


def test_unknown_variables_are_refused_with_the_nearest(tmp_path: Path) -> None:
    for name, nearest in [("KNIT_QUEU", "KNIT_QUEUE"), ("KNIT_RESOURCE_MANAGER", "KNIT_RESOURCEMANAGER")]:
        with pytest.raises(ConfigError, match=f"variable {name} is no setting of Knit; did you mean {nearest}"):
            _load(tmp_path, "rm", **{name: "x"})
    with pytest.raises(ConfigError, match="KNIT_ZZZ is no setting"):
        _load(tmp_path, "rm", KNIT_ZZZ="")


def test_variables_of_containers_tests_and_kubernetes_are_no_mistakes(tmp_path: Path) -> None:
    """The ApplicationMaster's source says which a container has: a launch from inside one goes on working."""
    root = Path(__file__).resolve().parents[2]
    source = (root / "java/src/main/java/knit/am/ContainerEnvironment.java").read_text(encoding="utf-8")
    inside = set(re.findall(r'"(KNIT_[A-Z_]+)"', source))
    assert {"KNIT_APP_ID", "KNIT_INSTANCE", "KNIT_MASTER_FILE"} <= inside
    others = {
        "KNIT_TEST_CLUSTER",
        "KNIT_SCREENSHOTS",
        "KNIT_LOCAL_STATE",
        "KNIT_SERVICE_HOST",
        "KNIT_UI_PORT_80_TCP_ADDR",
    }
    _load(tmp_path, "rm", **dict.fromkeys(inside | others, "x"))


def test_the_users_that_a_server_may_take_us_for() -> None:
    for ours, theirs in [("alice", "alice"), ("alice@CORP", "alice"), ("CORP\\Alice", "alice"), ("a/host@R", "a")]:
        assert same_user(ours, theirs)
    for ours, theirs in [("alice", "dr.who"), ("alice", "alic"), ("dr.whoever", "dr.who")]:
        assert not same_user(ours, theirs)


def test_the_manual_names_every_setting() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert [name for name in SETTINGS if f"| `{name}` |" not in page] == []


LEARNT = from_reply({"properties": [{"key": "fs.defaultFS", "value": "hdfs://nn:8020"}]}, "http://rm:8088")


def test_a_passing_fault_on_conf_is_asked_about_again(tmp_path: Path) -> None:
    config, replies = _load(tmp_path, "rm"), [ConnectionFailed("away"), ConnectionFailed("away"), LEARNT]

    def fetch() -> HadoopConf:
        reply = replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    config.fetch = fetch
    for _ in range(2):
        with pytest.raises(ConnectionFailed):
            _ = config.namenodes
    assert config.namenodes.value == "http://nn:9870"
    assert config.filesystem.value == "hdfs://nn:8020"
    assert not replies


def test_a_refusal_of_conf_is_believed_for_a_minute(tmp_path: Path) -> None:
    config, asked = _load(tmp_path, "rm"), []
    config.clock = clock = SimulatedClock()
    config.fetch = lambda: asked.append(clock.now)  # type: ignore[func-returns-value]
    for _ in range(7 * 24 * 60):
        assert config.learn() is None
        clock.sleep(30)
    assert len(asked) == 7 * 24 * 30
    config.fetch = lambda: LEARNT
    clock.sleep(60)
    assert config.learn() is LEARNT


def test_threads_that_ask_at_once_all_get_the_answer(tmp_path: Path) -> None:
    config, asked, together = _load(tmp_path, "rm"), [], threading.Barrier(8)

    def fetch() -> HadoopConf:
        asked.append(1)
        time.sleep(0.2)  # the others come meanwhile
        return LEARNT

    def ask(_number: int) -> str:
        together.wait()
        return config.filesystem.value

    config.fetch = fetch
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {"hdfs://nn:8020"}
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("address", "options", "url"),
    [
        ("rm", {}, "http://rm:8088"),
        ("https://rm", {}, "https://rm:8090"),
        ("https://rm/", {}, "https://rm:8090"),
        ("https://gateway/gateway/default/yarn", {}, "https://gateway/gateway/default/yarn"),
        ("http://gateway/yarn/", {}, "http://gateway/yarn"),
        ("https://gateway:8443/yarn", {}, "https://gateway:8443/yarn"),
        ("https://gateway", {"gateway_path": "/gateway/default"}, "https://gateway/gateway/default"),
        ("https://gateway", {"auth": "basic", "password": "x"}, "https://gateway"),
    ],
)
def test_the_port_of_an_address_without_one(address: str, options: dict[str, str], url: str, tmp_path: Path) -> None:
    config = _load(tmp_path, address, {**options, "namenode": address.replace("yarn", "hdfs")})
    assert config.resourcemanagers == [url]
    if "yarn" in address:
        assert config.namenodes.value == url.replace("yarn", "hdfs")


def test_xml_of_the_same_cluster_is_used_however_it_is_written(tmp_path: Path) -> None:
    folder = _xml(tmp_path / "conf", yarn_resourcemanager_hostname="rm.example.org", fs_defaultFS="hdfs://nn:8020")
    for address in ("rm.example.org", "http://RM.example.org:8088/", "http://rm.example.org"):
        config = _load(tmp_path, address, HADOOP_CONF_DIR=str(folder))
        assert config.filesystem.value == "hdfs://nn:8020"
    assert _load(tmp_path, "rm.example.org:8089", HADOOP_CONF_DIR=str(folder)).hadoop is None


def test_a_filesystem_without_its_namenodes(tmp_path: Path) -> None:
    """Its name may be a nameservice: the ResourceManager, which knows hdfs-site.xml, is asked first."""
    folder = _xml(tmp_path / "conf", yarn_resourcemanager_hostname="rm", fs_defaultFS="hdfs://ns1")
    config = _load(tmp_path, HADOOP_CONF_DIR=str(folder))
    assert (config.namenodes.value, config.nameservice) == ("http://ns1:9870", "ns1")
    told = {"fs.defaultFS": "hdfs://ns1", "dfs.ha.namenodes.ns1": "a", "dfs.namenode.http-address.ns1.a": "nn1:50070"}
    config.remote = HadoopConf(told, dict.fromkeys(told, "rm/conf"))
    assert (config.namenodes.value, config.nameservice) == ("http://nn1:50070", "")
    config.remote = HadoopConf({"fs.defaultFS": "hdfs://ns1", "dfs.namenode.http-address.ns1": "nn3:9870"})
    assert (config.namenodes.value, config.nameservice) == ("http://nn3:9870", "")
    _xml(folder, fs_defaultFS="hdfs://nn:8020", yarn_resourcemanager_hostname="rm")
    config = _load(tmp_path, HADOOP_CONF_DIR=str(folder))
    assert (config.namenodes.value, config.nameservice) == ("http://nn:9870", "")
    config = _load(tmp_path, options={"namenode": "http://nn:1"}, HADOOP_CONF_DIR=str(folder))
    assert config.nameservice == ""


@pytest.mark.parametrize(
    "name", ["DOMAIN\\alice", "jürgen", "alice@REALM.ORG", "alice/host@REALM", "svc-etl_1", "host$", "o.b", "李雷"]
)
def test_names_that_users_have(name: str, tmp_path: Path) -> None:
    config = _load(tmp_path, "rm", {"user": name})
    assert (config.user, config.staging) == (name, f"/user/{name}/.knit")


@pytest.mark.parametrize("name", ["a b", "../x", "a$b", '"', "`id`", "a\nb", "x" * 257, "a;b", "a'b"])
def test_what_is_no_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a user name"):
        _load(tmp_path, "rm", {"user": name})


def test_the_home_folder_is_hdfs_to_name(tmp_path: Path) -> None:
    config = _load(tmp_path, "rm", {"user": "DOMAIN\\alice"})
    asked: list[str] = []
    answers: list[Any] = [ConnectionFailed("away"), "/home/alice/", "/other"]

    def home() -> str:
        asked.append("home")
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    config.fetch_home = home
    with pytest.raises(ConnectionFailed):
        _ = config.staging
    assert [config.staging, config.staging, len(asked)] == ["/home/alice/.knit", "/home/alice/.knit", 2]
    config = _load(tmp_path, "rm", {"staging": "/data/knit/"})
    config.fetch_home = home
    assert (config.staging, len(asked)) == ("/data/knit", 2)
    config = _load(tmp_path, "rm")
    config.fetch_home = lambda: ""  # HDFS does not say
    assert config.staging == "/user/alice/.knit"


def test_a_nameservice_that_nothing_explains_is_called_one(tmp_path: Path) -> None:
    folder = _xml(tmp_path / "conf", yarn_resourcemanager_hostname="rm", fs_defaultFS="hdfs://knit-ns.invalid")
    knit = Knit(config=_load(tmp_path, HADOOP_CONF_DIR=str(folder)))
    knit.retry_timeout, knit.config.remote = 1.0, HadoopConf()
    with pytest.raises(ConnectionFailed, match=r"knit-ns.invalid has no port in fs.defaultFS.*KNIT_NAMENODE"):
        knit.hdfs.status("/")
