"""Two NameNodes and two ResourceManagers with automatic failover over a ZooKeeper: their names and properties. Pure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

NAMESERVICE = "knit"
#: The suffix of a daemon's name and ports, and its id in Hadoop's properties.
NAMENODES = {"": "nn1", "-2": "nn2"}
RESOURCEMANAGERS = {"": "rm1", "-2": "rm2"}
_PROVIDER = "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
_STORE = "org.apache.hadoop.yarn.server.resourcemanager.recovery.ZKRMStateStore"
_OF_RESOURCEMANAGERS = {
    "address": "resourcemanager",
    "webapp.address": "resourcemanager-http",
    "scheduler.address": "resourcemanager-scheduler",
    "resource-tracker.address": "resourcemanager-tracker",
    "admin.address": "resourcemanager-admin",
}


def properties(at: Callable[[str], str], port: Callable[[str], int], host: str, hdfs: Path) -> dict[str, str]:
    """The properties of all configuration files.

    Args:
        at: from a port's name to `host:port`.
        port: from a port's name to the port.
        host: of the ResourceManagers.
        hdfs: the folder of the NameNodes' files.
    """
    quorum = at("zookeeper")
    found = {
        "fs.defaultFS": f"hdfs://{NAMESERVICE}",
        "ha.zookeeper.quorum": quorum,
        "hadoop.zk.address": quorum,
        "yarn.resourcemanager.zk-address": quorum,  # Hadoop 3.5 reads this name for the election
        "dfs.nameservices": NAMESERVICE,
        f"dfs.ha.namenodes.{NAMESERVICE}": ",".join(NAMENODES.values()),
        f"dfs.client.failover.proxy.provider.{NAMESERVICE}": _PROVIDER,
        # A local folder is enough on one machine; clusters have JournalNodes.
        "dfs.namenode.shared.edits.dir": f"file://{hdfs}/shared",
        "dfs.ha.automatic-failover.enabled": "true",
        "dfs.ha.fencing.methods": "shell(/bin/true)",
        "dfs.ha.tail-edits.period": "1",
        "yarn.resourcemanager.ha.enabled": "true",
        "yarn.resourcemanager.cluster-id": NAMESERVICE,
        "yarn.resourcemanager.ha.rm-ids": ",".join(RESOURCEMANAGERS.values()),
        "yarn.resourcemanager.recovery.enabled": "true",
        "yarn.resourcemanager.store.class": _STORE,
    }
    for suffix, name in NAMENODES.items():
        of = f"{NAMESERVICE}.{name}"
        found[f"dfs.namenode.rpc-address.{of}"] = at(f"namenode{suffix}")
        found[f"dfs.namenode.http-address.{of}"] = at(f"namenode-http{suffix}")
        found[f"dfs.namenode.name.dir.{of}"] = f"file://{hdfs}/name{suffix}"
        found[f"dfs.ha.zkfc.port.{of}"] = str(port(f"zkfc{suffix}"))
    for suffix, name in RESOURCEMANAGERS.items():
        found[f"yarn.resourcemanager.hostname.{name}"] = host
        for key, port_name in _OF_RESOURCEMANAGERS.items():
            found[f"yarn.resourcemanager.{key}.{name}"] = at(f"{port_name}{suffix}")
    return found


#: Properties of one NameNode or ResourceManager, which contradict those of two.
REPLACED = (
    "dfs.namenode.rpc-address",
    "dfs.namenode.http-address",
    "dfs.namenode.name.dir",
    "yarn.resourcemanager.hostname",
    *(f"yarn.resourcemanager.{key}" for key in _OF_RESOURCEMANAGERS),
)


def own_properties(name: str) -> dict[str, str]:
    """Which of the two a daemon is, for its command line; empty for daemons of which there are not two.

    Args:
        name: of the daemon (`namenode-2`).
    """
    role, _, number = name.partition("-")
    suffix = f"-{number}" if number else ""
    if role in ("namenode", "zkfc"):
        return {"dfs.ha.namenode.id": NAMENODES[suffix]}
    if role == "resourcemanager":
        return {"yarn.resourcemanager.ha.id": RESOURCEMANAGERS[suffix]}
    return {}


def own_folders() -> dict[str, dict[str, str]]:
    """For each ResourceManager the folder, below that of the configuration, of its own yarn-site.xml, and what that adds."""
    names = [f"resourcemanager{suffix}" for suffix in RESOURCEMANAGERS]
    return {own_folder(name): own_properties(name) for name in names}


def own_folder(name: str) -> str:
    """The folder of a daemon's own configuration, below that of all; empty for daemons without one."""
    return name if name.partition("-")[0] == "resourcemanager" else ""


def zoo_cfg(folder: Path, port: int) -> str:
    """The configuration of ZooKeeper.

    Args:
        folder: for its data.
        port: of its clients.
    """
    return (
        f"tickTime=1000\ndataDir={folder}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n"
        "maxClientCnxns=0\n"
    )
