"""The NameNodes that containers are told: the cluster's own, not the client's way to them."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from knit_core.config import Config, HadoopConf, load_config
from knit_core.errors import ConfigError
from knit_core.launch.cluster_query import query_cluster
from knit_core.launch.plan import make_plan
from knit_core.model.cluster_facts import ClusterFacts, NewApplication
from knit_core.model.upload import Upload
from knit_core.spec import application_spec

KNOX = "https://knox.example.org:8443/gateway/default"
HTTPFS = "http://httpfs.example.org:14000"
TUNNEL = "http://localhost:19870"
BASIC = {"auth": "basic", "password": "secret"}

ONE = {"fs.defaultFS": "hdfs://nn.example.org:8020", "dfs.namenode.http-address": "nn.example.org:50070"}
BY_NAME = {"fs.defaultFS": "hdfs://nn.example.org:8020"}
PAIR = {
    "fs.defaultFS": "hdfs://ns",
    "dfs.nameservices": "ns",
    "dfs.ha.namenodes.ns": "a,b",
    "dfs.namenode.http-address.ns.a": "nn1.example.org:9870",
    "dfs.namenode.http-address.ns.b": "nn2.example.org:9870",
    "dfs.namenode.https-address.ns.a": "nn1.example.org:9871",
    "dfs.namenode.https-address.ns.b": "nn2.example.org:9871",
}
CAPITALS = {
    key.replace(".ns", ".Prod"): value.replace("ns", "Prod") if "." not in value else value
    for key, value in {**PAIR, "fs.defaultFS": "hdfs://Prod"}.items()
}
SAFE = {**PAIR, "dfs.http.policy": "HTTPS_ONLY"}
MIXED = {**PAIR, "dfs.http.policy": "HTTP_AND_HTTPS"}
HERE = {"fs.defaultFS": "hdfs://localhost:8020", "dfs.namenode.http-address": "127.0.0.1:9870"}
ANYWHERE = {"fs.defaultFS": "hdfs://nn.example.org:8020", "dfs.namenode.http-address": "0.0.0.0:9870"}
UNKNOWN = {"fs.defaultFS": "hdfs://nn.example.org:8020", "dfs.namenode.http-address": "${nn.host}:9870"}

ITS_OWN = "http://nn.example.org:50070"
BOTH = "http://nn1.example.org:9870,http://nn2.example.org:9870"
SECURE = "https://nn1.example.org:9871,https://nn2.example.org:9871"
GUESS = "http://nn.example.org:9870"


def _config(
    options: dict[str, str], conf: dict[str, str] | None = None, xml: dict[str, str] | None = None, **environ: str
) -> Config:
    config = load_config("rm.example.org", options, {"HOME": "/x", **environ}, user="alice", local=False)
    if conf is not None:
        config.remote = HadoopConf(conf, dict.fromkeys(conf, "rm/conf"))
    if xml is not None:
        config.hadoop = HadoopConf(xml, dict.fromkeys(xml, "hdfs-site.xml"))
    return config


@pytest.mark.parametrize(
    ("client", "conf", "xml", "expected"),
    [
        # as the client's own, when nothing else is given
        ({}, ONE, None, ITS_OWN),
        ({}, None, PAIR, BOTH),
        ({}, BY_NAME, None, GUESS),
        # what the configuration names, whatever way the client goes
        ({"namenode": KNOX, **BASIC}, ONE, None, ITS_OWN),
        ({"namenode": KNOX, **BASIC}, PAIR, None, BOTH),
        ({"namenode": KNOX, **BASIC}, SAFE, None, SECURE),
        ({"namenode": KNOX, **BASIC}, MIXED, None, BOTH),
        ({"namenode": KNOX, **BASIC}, CAPITALS, None, BOTH),
        ({"namenode": HTTPFS}, ONE, None, ITS_OWN),
        ({"namenode": TUNNEL}, PAIR, None, BOTH),
        ({"namenode": "http://nn1.example.org:9870"}, PAIR, None, BOTH),
        ({"namenode": HTTPFS}, None, ONE, ITS_OWN),
        # the nodes' own view comes first
        ({"namenode": HTTPFS}, ONE, {**ONE, "dfs.namenode.http-address": "old.example.org:1"}, ITS_OWN),
        ({"namenode": HTTPFS}, BY_NAME, ONE, ITS_OWN),
        # https stays https, where NameNodes serve both
        ({"namenode": "https://nn1.example.org:9871"}, MIXED, None, SECURE),
        # the port is a guess: the client's address is better, but for a gateway's and a tunnel's
        ({"namenode": HTTPFS}, BY_NAME, None, HTTPFS),
        ({"namenode": "http://nn.example.org:50070"}, BY_NAME, None, "http://nn.example.org:50070"),
        ({"namenode": KNOX, **BASIC}, BY_NAME, None, GUESS),
        ({"namenode": "https://knox.example.org:8443", **BASIC}, BY_NAME, None, GUESS),
        ({"namenode": KNOX}, BY_NAME, None, GUESS),
        ({"namenode": TUNNEL}, BY_NAME, None, GUESS),
        (
            {"namenode": KNOX, **BASIC},
            {**BY_NAME, "dfs.http.policy": "HTTPS_ONLY"},
            None,
            "https://nn.example.org:9871",
        ),
        # addresses that mean nothing elsewhere
        ({"namenode": HTTPFS}, HERE, None, HTTPFS),
        ({"namenode": HTTPFS}, HERE, ONE, ITS_OWN),
        ({"namenode": TUNNEL}, HERE, None, "http://127.0.0.1:9870"),
        ({"namenode": HTTPFS}, ANYWHERE, None, HTTPFS),
        ({"namenode": HTTPFS}, UNKNOWN, None, HTTPFS),
        ({"namenode": KNOX, **BASIC}, ANYWHERE, None, GUESS),
        ({"namenode": KNOX, **BASIC}, UNKNOWN, None, GUESS),
        ({"namenode": TUNNEL}, ANYWHERE, None, GUESS),
        # another filesystem than the configuration's
        ({"namenode": HTTPFS, "filesystem": "hdfs://other.example.org:8020"}, ONE, None, HTTPFS),
        ({"namenode": KNOX, "filesystem": "hdfs://other.example.org"}, ONE, None, "http://other.example.org:9870"),
        ({"namenode": HTTPFS, "filesystem": "hdfs://ns"}, {**PAIR, "fs.defaultFS": "viewfs://all"}, None, BOTH),
        ({"namenode": HTTPFS, "filesystem": "hdfs://NN.example.org"}, ONE, None, ITS_OWN),
        # nothing is known
        ({"namenode": HTTPFS, "filesystem": "hdfs://nn.example.org"}, None, None, HTTPFS),
        ({"namenode": TUNNEL, "filesystem": "hdfs://nn.example.org"}, None, None, GUESS),
        # the setting
        ({"namenode": KNOX, **BASIC, "container_namenode": "nn9"}, PAIR, None, "http://nn9:9870"),
        ({"container_namenode": "https://nn8,nn9:1", **BASIC}, PAIR, None, "https://nn8:9871,http://nn9:1"),
    ],
)
def test_the_choice(
    client: dict[str, str], conf: dict[str, str] | None, xml: dict[str, str] | None, expected: str
) -> None:
    config = _config(client, conf, xml)
    assert config.container_namenodes.value == expected
    if "namenode" in client:
        assert config.namenodes.value == client["namenode"], "the client keeps its own way"


def test_the_source_is_told() -> None:
    assert _config({"namenode": HTTPFS}, ONE).container_namenodes.source == "dfs.namenode.http-address in rm/conf"
    assert _config({"namenode": HTTPFS}, None, ONE).container_namenodes.source.endswith("in hdfs-site.xml")
    assert _config({"namenode": HTTPFS}, BY_NAME).container_namenodes.source == "argument namenode"
    guess = _config({"namenode": TUNNEL}, BY_NAME).container_namenodes
    assert guess.source == "the host of hdfs://nn.example.org:8020, with Hadoop's default port"
    given = _config({"namenode": HTTPFS}, ONE, KNIT_CONTAINER_NAMENODE="nn9")
    assert given.container_namenodes.source == "KNIT_CONTAINER_NAMENODE"


def test_containers_log_in_nowhere() -> None:
    with pytest.raises(ConfigError, match="containers log in nowhere") as caught:
        _config({"container_namenode": "https://alice:s3cret@knox.example.org:8443/gateway/default"})
    assert "s3cret" not in str(caught.value)


def _document(config: Config) -> tuple[Any, ClusterFacts]:
    """What the ApplicationMaster reads; it gives the addresses in `webhdfs` to containers as KNIT_MASTER_FILE."""
    new = NewApplication("application_1_0001", 8192, 4, {})
    rm: Any = SimpleNamespace(
        new_application=lambda: new, info=lambda: {"hadoopVersion": "3.4.2"}, address="http://rm:8088"
    )
    cluster: Any = SimpleNamespace(resourcemanager=rm, config=config, clock=time)
    spec = application_spec("x")
    facts = replace(query_cluster(cluster, spec, print, checks=False), classpath="/a/*")
    small = Upload.of("small", b"x")
    plan = make_plan(spec, facts, jar=small, container_zip=small, files={}, tags=())

    class _Staged(dict[str, Any]):
        def __missing__(self, path: str) -> Any:
            return SimpleNamespace(path=path, size=1, modified=1)

    return json.loads(plan.document(_Staged())), facts


def test_the_plan_of_a_launch_through_a_gateway() -> None:
    document, facts = _document(_config({"namenode": KNOX, **BASIC, "ca": "false"}, PAIR))
    assert document["webhdfs"] == BOTH.split(",")
    assert facts.ca == "", "http needs no certificates"
    assert "knox" not in json.dumps(document)


def test_the_certificates_go_along_for_the_containers_addresses() -> None:
    document, facts = _document(_config({"namenode": TUNNEL, "ca": "false"}, SAFE))
    assert document["webhdfs"] == SECURE.split(",")
    assert facts.ca == "false"
