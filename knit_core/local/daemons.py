"""The daemons of a cluster: their names, commands, files, and checks that they serve."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from knit_core.local import configuration_files, high_availability, rest
from knit_core.local.configuration_files import Setup
from knit_core.local.gateways import httpfs, knox_files, knox_home
from knit_core.local.gateways.httpfs import HTTPFS
from knit_core.local.gateways.knox_files import KNOX
from knit_core.local.java import Java
from knit_core.local.secure.kdc import Kdc
from knit_core.local.secure.kerberos_files import CLASSES_DIR, KRB5_CONF

NAMENODE = "namenode"
DATANODE = "datanode"
RESOURCEMANAGER = "resourcemanager"
NODEMANAGER = "nodemanager"
KDC = "kdc"
ZOOKEEPER = "zookeeper"
ZKFC = "zkfc"  # makes one of two NameNodes the active one

CLASSES = {
    NAMENODE: "org.apache.hadoop.hdfs.server.namenode.NameNode",
    DATANODE: "org.apache.hadoop.hdfs.server.datanode.DataNode",
    RESOURCEMANAGER: "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager",
    NODEMANAGER: "org.apache.hadoop.yarn.server.nodemanager.NodeManager",
    ZOOKEEPER: "org.apache.zookeeper.server.quorum.QuorumPeerMain",
    ZKFC: "org.apache.hadoop.hdfs.tools.DFSZKFailoverController",
    HTTPFS: httpfs.MAIN,
    KNOX: knox_files.MAIN,
}
# For little memory and a fast start: only the first compiler, one garbage collector thread.
JVM_OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Xss512k",
    "-Djava.net.preferIPv4Stack=true",
    "-Djava.awt.headless=true",
    # The default mechanism (a helper process) hangs in JDK 17.0.9 when the daemon is killed, and keeps its ports.
    "-Djdk.lang.Process.launchMechanism=VFORK",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
)
HEAP = {
    NAMENODE: 256, DATANODE: 192, RESOURCEMANAGER: 320, NODEMANAGER: 256, ZOOKEEPER: 96, ZKFC: 96, HTTPFS: 192, KNOX: 256,
}  # MiB  # fmt: skip
# Daemons start in parallel: they retry connections to each other ten times a second instead of once.
EAGER = {"ipc.client.connect.retry.interval": "100", "ipc.client.connect.max.retries": "300"}
WITHOUT_PAGE = {KDC, ZOOKEEPER, ZKFC}
GATEWAYS = (HTTPFS, KNOX)
MARK = "-Dknit.local="
PROCESS_MARK = "-Dproc_"


def daemon_names(nodes: int, kerberos: bool = False, ha: bool = False, gateways: Sequence[str] = ()) -> list[str]:
    """Names of all daemons of a cluster with `nodes` NodeManagers, in the order of display."""
    first = [*([KDC] if kerberos else []), *([ZOOKEEPER] if ha else [])]
    of_two = [NAMENODE, f"{NAMENODE}-2", ZKFC, f"{ZKFC}-2"] if ha else [NAMENODE]
    managers = [RESOURCEMANAGER, f"{RESOURCEMANAGER}-2"] if ha else [RESOURCEMANAGER]
    return [*first, *of_two, DATANODE, *managers, *(nodemanager(node) for node in range(1, nodes + 1)), *gateways]


def gateways_of(setup: Setup) -> list[str]:
    """Names of the gateways of a cluster."""
    return [name for name, there in ((HTTPFS, setup.httpfs), (KNOX, setup.knox)) if there]


def names_of(setup: Setup) -> list[str]:
    """Names of all daemons of a cluster."""
    return daemon_names(setup.nodes, setup.kerberos, setup.ha, gateways_of(setup))


def nodemanager(node: int) -> str:
    """The name of NodeManager `node`: `nodemanager`, `nodemanager-2`, …"""
    return NODEMANAGER if node == 1 else f"{NODEMANAGER}-{node}"


def kind(name: str) -> str:
    return name.partition("-")[0]


def node_number(name: str) -> int:
    """The number of a NodeManager, from 1; 0 for the other daemons."""
    if kind(name) != NODEMANAGER:
        return 0
    return int(name.partition("-")[2] or 1)


@dataclass(frozen=True)
class Command:
    """The command of a daemon: argument vector and environment."""

    argv: list[str]
    env: dict[str, str]


def classpath(setup: Setup, name: str = "") -> str:
    """The jars one by one, sorted (a wildcard has the order of the file system), then the configuration folder.

    Args:
        setup: the cluster.
        name: of the daemon. Gateways have jars of their own; ResourceManagers of two, a file of their own before those of all.
    """
    role = kind(name)
    jars = sorted(str(entry) for entry in setup.gateway_jars.get(role, setup.jars).glob("*.jar"))
    if role == HTTPFS:
        return os.pathsep.join([str(httpfs.home(setup) / "conf"), *jars, str(setup.conf_dir)])
    if role == KNOX:
        return os.pathsep.join([str(setup.knox_dir / "conf"), *jars])
    first = [str(setup.kerberos_dir / CLASSES_DIR)] if setup.kerberos else []
    own = high_availability.own_folder(name) if setup.ha else ""
    folders = [*([str(setup.conf_dir / own)] if own else []), str(setup.conf_dir)]
    return os.pathsep.join([*first, *jars, *folders])


def environment(setup: Setup, java: Java, outer: Mapping[str, str], name: str = "") -> dict[str, str]:
    """Only the variables that a daemon needs: the caller's HADOOP_* or JAVA_TOOL_OPTIONS must not change the cluster."""
    kept = {
        variable: outer[variable]
        for variable in ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
        if variable in outer
    }
    return {
        **kept,
        "USER": setup.user,
        "LOGNAME": setup.user,
        **({} if setup.kerberos else {"HADOOP_USER_NAME": setup.user}),
        "JAVA_HOME": str(java.home),
        "HADOOP_CONF_DIR": str(setup.conf_dir),
        "CLASSPATH": classpath(setup, name),
    }


def command(
    name: str,
    setup: Setup,
    java: Java,
    outer: Mapping[str, str],
    arguments: tuple[str, ...] = (),
    jvm_options: Sequence[str] = (),
) -> Command:
    """The command that starts daemon `name`."""
    role = kind(name)
    if role == KDC:
        kdc = kdc_of(setup)
        return Command(kdc.command(), kdc.environment(environment(setup, java, outer)))
    if role == ZOOKEEPER:
        arguments = (str(setup.state / "zookeeper" / "zoo.cfg"),)
    properties = dict(EAGER)
    if setup.ha:
        properties.update(high_availability.own_properties(name))
    if role == NODEMANAGER:
        properties.update(configuration_files.node_properties(setup, node_number(name)))
    argv = [
        str(java.binary),
        f"{MARK}{setup.state}",
        f"{PROCESS_MARK}{name}",
        f"-Xmx{HEAP[role]}m",
        *JVM_OPTIONS,
        *jvm_options,
        *([f"-Djava.security.krb5.conf={setup.kerberos_dir / KRB5_CONF}"] if setup.kerberos else []),
        f"-Djava.io.tmpdir={setup.state / 'tmp'}",
        f"-Djdk.net.hosts.file={setup.state / 'run' / 'hosts'}",
        f"-Dlog4j.configuration=file:{setup.conf_dir / 'daemon-log4j.properties'}",
        f"-Djava.util.logging.config.file={setup.conf_dir / 'daemon-logging.properties'}",
        f"-Dknit.log={log_file(setup.state, name)}",
        *(httpfs.system_properties(setup) if role == HTTPFS else []),
        *(knox_files.jvm_options(setup) if role == KNOX else []),
        CLASSES[role],
    ]
    if role not in (ZOOKEEPER, *GATEWAYS) and (setup.ha or not arguments):
        argv += [part for key, value in properties.items() for part in ("-D", f"{key}={value}")]
    argv += arguments
    return Command(argv, environment(setup, java, outer, name))


def log_file(state: Path, name: str) -> Path:
    """The log of the daemon."""
    return state / "logs" / f"{name}.log"


def out_file(state: Path, name: str) -> Path:
    """The output of the daemon's JVM: almost empty unless it fails."""
    return state / "logs" / f"{name}.out"


def pid_file(state: Path, name: str) -> Path:
    return state / "run" / f"{name}.json"


def last_lines(state: Path, name: str, count: int) -> list[str]:
    """The last lines of a daemon's log, followed by the last lines of its JVM's output."""
    lines = tail(log_file(state, name), count) + tail(out_file(state, name), count)
    return lines[-count:]


def tail(path: Path, count: int, block: int = 65536) -> list[str]:
    """The last `count` lines of a file (of its last 16 `block`s of bytes at most); none when it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            data = b""
            while size > 0 and data.count(b"\n") <= count and len(data) < 16 * block:
                start = max(0, size - block)
                file.seek(start)
                data = file.read(size - start) + data
                size = start
    except OSError:
        return []
    return data.decode(errors="replace").splitlines()[-count:] if count > 0 else []


def kdc_of(setup: Setup) -> Kdc:
    """The cluster's realm."""
    return Kdc(setup.kerberos_dir, setup.ports[KDC], log_file(setup.state, KDC))


def unready(name: str, setup: Setup) -> str | None:
    """Why daemon `name` does not serve yet, in a few words; None when it serves."""
    role = kind(name)
    if role == KDC:
        return None if kdc_of(setup).answers else "does not listen"
    if role == ZOOKEEPER:
        return None if listens(setup.ports[ZOOKEEPER]) else "does not listen"
    if role == ZKFC:
        return None if listens(setup.ports[name]) else "does not listen"
    if role == NAMENODE:
        return _namenode_unready(setup, name)
    if role == DATANODE:
        state = rest.jmx(setup, rest.active_namenode(setup), "Hadoop:service=NameNode,name=FSNamesystemState")
        return None if state.get("NumLiveDataNodes", 0) >= 1 else "has not registered with the NameNode"
    if role == RESOURCEMANAGER:
        info = rest.get(setup, web_port(name), "/ws/v1/cluster/info") or {}
        if info.get("clusterInfo", {}).get("state") != "STARTED":
            return "does not answer HTTP requests"
        return None if rest.active_resourcemanager(setup) else "waits until one of the two is active"
    if role == HTTPFS:
        return _httpfs_unready(setup)
    if role == KNOX:
        return _knox_unready(setup)
    return _node_unready(setup, node_number(name))


def listens(port: int) -> bool:
    """Whether a port of this machine accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


def web_port(name: str) -> str:
    """The name of the port of a daemon's web server."""
    if name in GATEWAYS:
        return name
    role, _, number = name.partition("-")
    return f"{role}-http-{number}" if number else f"{role}-http"


def _namenode_unready(setup: Setup, name: str) -> str | None:
    bean = rest.jmx(setup, web_port(name), "Hadoop:service=NameNode,name=NameNodeInfo")
    if not bean:
        return "does not answer HTTP requests"
    if bean.get("Safemode"):
        return "is in safe mode"
    return None if rest.active_namenode(setup) else "waits until one of the two is active"


def _httpfs_unready(setup: Setup) -> str | None:
    if not listens(setup.ports[HTTPFS]):
        return "does not listen"
    if not rest.active_namenode(setup) if setup.ha else _namenode_unready(setup, NAMENODE):
        return "waits for the NameNode"  # it would try for a long time to connect
    found = rest.get(setup, HTTPFS, f"/webhdfs/v1/?op=GETFILESTATUS&user.name={setup.superuser}")
    return None if found else "does not answer HTTP requests"


def _knox_unready(setup: Setup) -> str | None:
    """It listens before its topology is there, and a topology with a further user takes the place of another after seconds."""
    newest = next(reversed(knox_home.passwords(setup).items()), ("", ""))
    try:
        status, _ = rest.call(setup, "GET", KNOX, f"{knox_files.PATH}/webhdfs/v1/?op=GETHOMEDIRECTORY", login=newest)
    except OSError:
        return "does not answer HTTP requests"
    return "has not deployed its topology" if status in (401, 404) else None


def _node_unready(setup: Setup, node: int) -> str | None:
    suffix = "" if node == 1 else f"-{node}"
    page = f":{setup.ports['nodemanager-http' + suffix]}"
    manager = rest.active_resourcemanager(setup) or "resourcemanager-http"
    nodes = (rest.get(setup, manager, "/ws/v1/cluster/nodes") or {}).get("nodes") or {}
    states = {entry.get("state") for entry in nodes.get("node", []) if entry.get("nodeHTTPAddress", "").endswith(page)}
    if "RUNNING" in states:
        return None
    if states:
        return f"has the state {'/'.join(sorted(map(str, states)))} at the ResourceManager"
    return "has not registered with the ResourceManager"
