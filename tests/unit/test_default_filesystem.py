"""Clusters whose default filesystem is no HDFS: where Knit's own files go, and what is refused."""

from __future__ import annotations

import pytest

from knit_core.config import Config, HadoopConf
from knit_core.config.default_filesystem import hdfs_of, resolve
from knit_core.errors import ConfigError

VIEW = {
    "fs.defaultFS": "viewfs://all/",
    "fs.viewfs.mounttable.all.link./user": "hdfs://ns1/home",
    "fs.viewfs.mounttable.all.link./user/etl": "hdfs://ns2/etl",
    "fs.viewfs.mounttable.all.link./data": "s3a://bucket/data",
    "fs.viewfs.mounttable.all.linkFallback": "hdfs://ns3/",
    "dfs.nameservices": "ns2,ns1",
    "dfs.ha.namenodes.ns1": "a,b",
    "dfs.namenode.http-address.ns1.a": "a:9870",
    "dfs.namenode.http-address.ns1.b": "b:9870",
}


def config_of(properties: dict[str, str], user: str = "alice") -> Config:
    from knit_core.config.settings import Value

    config = Config({"user": Value(user, "test")}, None)
    config.remote = HadoopConf(properties, dict.fromkeys(properties, "rm/conf"))
    return config


@pytest.mark.parametrize(
    ("path", "filesystem", "found"),
    [
        ("/user", "hdfs://ns1", "/home"),
        ("/user/alice/x", "hdfs://ns1", "/home/alice/x"),
        ("/user/etl/x", "hdfs://ns2", "/etl/x"),
        ("/userx", "hdfs://ns3", "/userx"),
        ("/data/y", "s3a://bucket", "/data/y"),
        ("viewfs://all/user/alice", "hdfs://ns1", "/home/alice"),
        ("hdfs://ns9/user/alice", "hdfs://ns9", "/user/alice"),
    ],
)
def test_a_mount_table_is_read_as_hadoop_reads_it(path: str, filesystem: str, found: str) -> None:
    assert resolve(HadoopConf(VIEW), path)[:2] == (filesystem, found)


def test_staging_goes_to_the_hdfs_that_has_the_home_folders() -> None:
    config = config_of(VIEW)
    assert config.filesystem.value == "hdfs://ns1"
    assert config.filesystem.source == "rm/conf"
    assert config.namenodes.value == "http://a:9870,http://b:9870"
    assert config.staging == "/home/alice/.knit"
    assert config.nameservice == ""


@pytest.mark.parametrize(
    ("properties", "filesystem", "namenode"),
    [
        (
            {"dfs.nameservices": "ns", "dfs.ha.namenodes.ns": "a", "dfs.namenode.http-address.ns.a": "a:9870"},
            "hdfs://ns",
            "http://a:9870",
        ),
        (
            {"dfs.namenode.rpc-address": "nn:8020", "dfs.namenode.http-address": "0.0.0.0:50070"},
            "hdfs://nn:8020",
            "http://nn:50070",
        ),
    ],
)
def test_an_hdfs_beside_an_object_store(properties: dict[str, str], filesystem: str, namenode: str) -> None:
    config = config_of({"fs.defaultFS": "s3a://bucket", **properties})
    assert (config.filesystem.value, config.namenodes.value) == (filesystem, namenode)
    assert config.staging == "/user/alice/.knit"


def test_without_an_hdfs_the_message_says_what_is_needed() -> None:
    config = config_of({"fs.defaultFS": "s3a://bucket"})
    with pytest.raises(ConfigError, match=r"fs\.defaultFS is 's3a://bucket', and neither a mount table nor"):
        _ = config.filesystem
    with pytest.raises(ConfigError, match="No HDFS found"):
        _ = config.namenodes


def test_an_ordinary_cluster_is_as_before() -> None:
    assert hdfs_of(HadoopConf({"fs.defaultFS": "hdfs://nn:8020/"})) == ("hdfs://nn:8020", "fs.defaultFS")
    config = config_of({"fs.defaultFS": "hdfs://nn:8020", "dfs.nameservices": "other"})
    assert (config.filesystem.value, config.staging) == ("hdfs://nn:8020", "/user/alice/.knit")
    assert config.on_hdfs("/tmp/logs") == config.on_hdfs("hdfs://elsewhere/tmp/logs") == "/tmp/logs"
