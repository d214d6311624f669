"""An embedded cluster on which every connection that Knit makes goes through a forwarder, each with its own faults.

How each way is led through its forwarder, without a switch in the product:

- From the client: the ResourceManager is given by a forwarder's address. That forwarder and the NameNode's replace the
  addresses in the replies by those of further forwarders.
- From the ApplicationMaster: its JVM has a hosts file of its own, in which `localhost` is `LOCALHOST_OF_MASTER`. So it
  meets forwarders where NodeManager and DataNode are for others. The ResourceManager's scheduler port comes from a
  configuration folder of its own, the filesystem from the client's settings.
- From containers: the NameNode's address comes from the client's settings (`container_namenode`).
- To the ApplicationMaster: it binds that same address, on ports that the client's settings give; `localhost` of all
  others has a forwarder there.
"""

from __future__ import annotations

import random
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from knit_core import Knit
from knit_core.local import LocalCluster
from knit_core.local.configuration_files import to_xml
from knit_core.local.jars import hadoop, obtain
from knit_core.local.paths import HADOOP_VERSION, jars_root
from knit_core.local.ports import is_free
from knit_core.local.records import Record
from tests.fault_proxy import Address, Fault, FaultProxy

LOCALHOST_OF_MASTER = "127.0.0.77"
NODE_BINDS = "127.0.0.78"
MASTERS = 4  # applications that may run side by side
#: Every way that has a forwarder: who connects, and to what. `http` ones can repeat requests.
PLACES = (
    "client-resourcemanager",
    "client-namenode",
    "client-datanode",
    "client-nodemanager",
    "client-master",
    "master-resourcemanager",
    "master-namenode",
    "master-datanode",
    "master-nodemanager",
    "container-master",
    "container-namenode",
)
#: Daemons whose stop (SIGSTOP) is a fault, too.
PROCESSES = ("resourcemanager", "namenode", "datanode", "nodemanager", "master")
SETTINGS = {
    "dfs.datanode.hostname": "localhost",
    # The node binds another address than it tells, so that forwarders can stand at the one it tells.
    "nodemanager:yarn.nodemanager.bind-host": NODE_BINDS,
    # A partition of some seconds is to be a partition, not a lost node or attempt.
    "yarn.am.liveness-monitor.expiry-interval-ms": "120000",
    "yarn.resourcemanager.am.max-attempts": "5",
}


class Place:
    """The forwarders of one way; several where it leads to any of the ApplicationMasters that may run side by side."""

    def __init__(self, *forwarders: FaultProxy) -> None:
        self.forwarders = forwarders

    def set(self, fault: Fault, times: int | None = None) -> None:
        """Switch a fault on, as `FaultProxy.set`."""
        self.reset_counts()
        for forwarder in self.forwarders:
            forwarder.set(fault, times)

    def heal(self) -> None:
        """Switch it off."""
        for forwarder in self.forwarders:
            forwarder.heal()

    def __repr__(self) -> str:
        return f"Place({', '.join(f'{forwarder!r}: {forwarder.counts}' for forwarder in self.forwarders)})"

    def reset_counts(self) -> None:
        """Count from zero."""
        for forwarder in self.forwarders:
            forwarder.reset_counts()

    @property
    def moved(self) -> int:
        """Bytes that have passed."""
        return sum(forwarder.counts.request_bytes + forwarder.counts.reply_bytes for forwarder in self.forwarders)

    @property
    def struck(self) -> int:
        """Connections that the last fault has met."""
        return sum(forwarder.counts.struck for forwarder in self.forwarders)


class FaultyCluster:
    """A cluster, its places, and clients that are led through them.

    Attributes:
        cluster: the daemons.
        places: by name (`PLACES`).
    """

    def __init__(self, cluster: LocalCluster, stack: ExitStack, master: Path, scheduler: FaultProxy) -> None:
        self.cluster, self._stack = cluster, stack
        self._record = record = Record.read(cluster.state_dir)  # type: ignore[assignment]
        assert record is not None
        ports = record.setup.ports
        self.places = {"master-resourcemanager": Place(scheduler)}
        scheduler.target = ("127.0.0.1", ports["resourcemanager-scheduler"])
        self._add("client-resourcemanager", ("127.0.0.1", ports["resourcemanager-http"]))
        self._add("client-namenode", ("127.0.0.1", ports["namenode-http"]))
        self._add("container-namenode", ("127.0.0.1", ports["namenode-http"]))
        self._add("client-datanode", ("127.0.0.1", ports["datanode-http"]))
        self._add("master-namenode", ("127.0.0.1", ports["namenode"]))
        self._add("master-datanode", ("127.0.0.1", ports["datanode"]), (LOCALHOST_OF_MASTER, ports["datanode"]))
        self._add(
            "client-nodemanager", (NODE_BINDS, ports["nodemanager-http"]), ("127.0.0.1", ports["nodemanager-http"])
        )
        self._add("master-nodemanager", (NODE_BINDS, ports["nodemanager"]), (LOCALHOST_OF_MASTER, ports["nodemanager"]))
        for name in ("nodemanager-localizer", "nodemanager"):  # the node's own ways, always whole
            self._stack.enter_context(FaultProxy((NODE_BINDS, ports[name]), ("127.0.0.1", ports[name])))
        self._api_ports = _free_ports(MASTERS)
        self._add_masters("container-master", lambda port: ("127.0.0.1", port))
        self._add_masters("client-master", lambda port: ("127.0.0.1", 0))
        self._lead_clients(ports)
        hosts = master / "hosts"
        hosts.write_text(f"{LOCALHOST_OF_MASTER} localhost\n127.0.0.1 127.0.0.1\n127.0.0.1 {socket.gethostname()}\n")
        self._options = {
            "java": f"{record.java.binary} -Djdk.net.hosts.file={hosts}",
            "api_ports": f"{self._api_ports[0]}-{self._api_ports[-1]}",
            "filesystem": f"hdfs://{self._at('master-namenode')}",
            "container_namenode": self._url("container-namenode"),
        }

    def client(self) -> Knit:
        """A client whose every connection goes through a forwarder; it closes with the cluster."""
        return self._stack.enter_context(Knit(self._url("client-resourcemanager"), user="alice", options=self._options))

    def launcher(self) -> Knit:
        """A client that meets no fault of a `client-…` place, for launching; the containers and masters do meet theirs."""
        return self._stack.enter_context(Knit(self.cluster.resourcemanager_url, user="alice", options=self._options))

    def heal(self) -> None:
        """All forwarders are whole again."""
        for place in self.places.values():
            place.heal()

    def pid(self, process: str, app_id: str = "") -> int:
        """Process id of a daemon, or of the application's `master`."""
        if process == "master":
            return master_process(app_id).pid
        return next(d.pid for d in self.cluster.status().daemons if d.name == process and d.pid)

    def _add(self, name: str, target: Address, listen: Address = ("127.0.0.1", 0)) -> None:
        self.places[name] = Place(self._stack.enter_context(FaultProxy(target, listen)))

    def _add_masters(self, name: str, listen: Callable[[int], Address]) -> None:
        made = [FaultProxy((LOCALHOST_OF_MASTER, port), listen(port)) for port in self._api_ports]
        self.places[name] = Place(*map(self._stack.enter_context, made))

    def _at(self, name: str) -> str:
        host, port = self.places[name].forwarders[0].address
        return f"{host}:{port}"

    def _url(self, name: str) -> str:
        return f"http://{self._at(name)}"

    def _lead_clients(self, ports: Mapping[str, int]) -> None:
        plain = {b"Accept-Encoding: gzip": b"Accept-Encoding: none"}  # what is packed cannot be rewritten
        namenode = {f"127.0.0.1:{ports['namenode-http']}": self._at("client-namenode")}
        datanode = {f"localhost:{ports['datanode-http']}": self._at("client-datanode")}
        masters = {
            f"localhost:{port}": forwarder.url.removeprefix("http://")
            for port, forwarder in zip(self._api_ports, self.places["client-master"].forwarders, strict=True)
        }
        self.places["client-resourcemanager"].forwarders[0].rewrite = {**plain, **_bytes({**namenode, **masters})}
        self.places["client-namenode"].forwarders[0].rewrite = {**plain, **_bytes(datanode)}


@contextmanager
def faulty_cluster(**up: Any) -> Iterator[FaultyCluster]:
    """Start one; everything is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="knit-faults-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        state, master = folder / "state", folder / "master"
        scheduler = stack.enter_context(FaultProxy(("127.0.0.1", 1)))
        classpath = f"{master},{obtain(jars_root(), hadoop(HADOOP_VERSION)).folder}/*"
        cluster = LocalCluster(state)
        try:
            cluster.up(settings={**SETTINGS, "yarn.application.classpath": classpath, **up.pop("settings", {})}, **up)
            cluster.add_user("alice")
            shutil.copytree(cluster.conf_dir, master)
            _change(
                master / "yarn-site.xml",
                {"yarn.resourcemanager.scheduler.address": scheduler.url.removeprefix("http://")},
            )
            _change(master / "hdfs-site.xml", {"dfs.client.use.datanode.hostname": "true"})
            with ExitStack() as inner:
                yield FaultyCluster(cluster, inner, master, scheduler)
        finally:
            cluster.down(delete=True)


def master_process(app_id: str) -> psutil.Process:
    """The process of the application's ApplicationMaster. Raises LookupError when there is none."""
    assert app_id
    for process in psutil.process_iter(["cmdline", "cwd"]):
        line = process.info["cmdline"] or []
        if "knit.am.Main" in line and line[0].endswith("java") and app_id in (process.info["cwd"] or ""):
            return process
    raise LookupError(f"{app_id} has no ApplicationMaster")


def _change(file: Path, properties: Mapping[str, str]) -> None:
    """Properties added to a Hadoop XML file; they beat what it says."""
    rows = to_xml(properties).partition("<configuration>")[2].partition("</configuration>")[0]
    file.write_text(file.read_text().replace("</configuration>", f"{rows}</configuration>"))


def _bytes(texts: Mapping[str, str]) -> dict[bytes, bytes]:
    for text, other in texts.items():
        assert len(text) == len(other), f"the replacement {other} of {text} must have its length"
    return {text.encode(): other.encode() for text, other in texts.items()}


def _free_ports(count: int) -> list[int]:
    """Consecutive ports of five digits that are free on every loopback address now, below those given out by themselves."""
    for first in range(random.randrange(20000, 32000 - count), 32000 - count):
        wanted = list(range(first, first + count))
        if all(is_free("", port) for port in wanted):
            return wanted
    raise AssertionError("no free ports")
