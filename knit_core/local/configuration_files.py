"""The files of an embedded cluster, as file name -> text: Hadoop's configuration, hosts, scripts. Pure.

All settings that differ from Hadoop's defaults are here, with the reason where the name does not give it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from knit_core.local import high_availability
from knit_core.local.paths import HADOOP_VERSION
from knit_core.local.ports import node_address
from knit_core.local.secure.kerberos_files import DAEMONS_KEYTAB, KRB5_CONF, SIGNATURE_SECRET
from knit_core.local.secure.properties import (
    kerberos_properties,
    ssl_client,
    ssl_server,
    tls_properties,
    with_https_addresses,
)

NODE_MEMORY = 8192  # MiB
NODE_VCORES = 16
HOST = "127.0.0.1"

CLIENT_LOG4J = """\
log4j.rootLogger=WARN,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %-5p %c{2}: %m%n
log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR
"""
DAEMON_LOG4J = """\
log4j.rootLogger=INFO,file
log4j.appender.file=org.apache.log4j.RollingFileAppender
log4j.appender.file.File=${knit.log}
log4j.appender.file.MaxFileSize=32MB
log4j.appender.file.MaxBackupIndex=2
log4j.appender.file.layout=org.apache.log4j.PatternLayout
log4j.appender.file.layout.ConversionPattern=%d{ISO8601} %-5p %c{2}: %m%n
log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR
"""
# Libraries that log with java.util.logging: warnings and errors only, as their INFO lines look like failures.
JUL_PROPERTIES = "handlers=java.util.logging.ConsoleHandler\n.level=WARNING\n"
# The HDFS jars have no web applications, unlike Hadoop's tarball; the servers do not start without their folders.
WEB_XML = '<?xml version="1.0"?>\n<web-app/>\n'
WEB_APPS = ("hdfs", "datanode", "secondary")
CAPACITY, FAIR = "capacity", "fair"
SCHEDULERS = (CAPACITY, FAIR)
_SCHEDULERS = "org.apache.hadoop.yarn.server.resourcemanager.scheduler"
_SCHEDULER_CLASSES = {CAPACITY: f"{_SCHEDULERS}.capacity.CapacityScheduler", FAIR: f"{_SCHEDULERS}.fair.FairScheduler"}


@dataclass(frozen=True)
class Setup:
    """The settings of a cluster.

    Attributes:
        state: the cluster's folder.
        jars: the folder with Hadoop's jars.
        ports: from port name (`knit_core.local.ports`) to port.
        user: the user that runs the daemons: HDFS's superuser.
        nodes: number of NodeManagers.
        recovery: the ResourceManager keeps its state over a restart.
        queues: leaf queues below root with equal shares; each may grow to the whole cluster.
        scheduler: "capacity" or "fair".
        settings: Hadoop properties that override all others; `nodemanager-2:<property>` applies to that NodeManager only.
        kerberos: all services authenticate by Kerberos, with a KDC of the cluster's own.
        tls: the web servers speak https only.
        users: with Kerberos, users that have keytabs.
        ha: two NameNodes and two ResourceManagers with automatic failover.
        hadoop: the version of Hadoop.
        httpfs: an HttpFS answers in front of HDFS.
        knox: a Knox gateway answers in front of YARN and HDFS.
        gateway_jars: from the daemon of a gateway to the folder with its jars.
    """

    state: Path
    jars: Path
    ports: Mapping[str, int]
    user: str
    nodes: int = 1
    recovery: bool = False
    queues: Sequence[str] = ("default",)
    settings: Mapping[str, str] = field(default_factory=dict)
    kerberos: bool = False
    tls: bool = False
    users: Sequence[str] = ()
    ha: bool = False
    scheduler: str = CAPACITY
    hadoop: str = HADOOP_VERSION
    httpfs: bool = False
    knox: bool = False
    gateway_jars: Mapping[str, Path] = field(default_factory=dict)

    @property
    def conf_dir(self) -> Path:
        return self.state / "conf"

    @property
    def kerberos_dir(self) -> Path:
        return self.state / "kerberos"

    @property
    def tls_dir(self) -> Path:
        return self.state / "tls"

    @property
    def knox_dir(self) -> Path:
        return self.state / "knox"

    @property
    def host(self) -> str:
        """The name of this machine in addresses: Kerberos and certificates need a name."""
        return "localhost" if self.kerberos or self.tls else HOST

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"

    @property
    def superuser(self) -> str:
        """HDFS's superuser: the one that the NameNode runs as."""
        return "hdfs" if self.kerberos else self.user

    def node_host(self, node: int) -> str:
        """The address of NodeManager `node` (from 1)."""
        return self.host if node == 1 else node_address(node)

    def at(self, port_name: str) -> str:
        return f"{self.host}:{self.ports[port_name]}"

    def url(self, port_name: str) -> str:
        return f"{self.scheme}://{self.at(port_name)}"

    @property
    def filesystem(self) -> str:
        """The Hadoop URL of HDFS."""
        return f"hdfs://{high_availability.NAMESERVICE if self.ha else self.at('namenode')}"


def core_site(setup: Setup) -> dict[str, str]:
    return {
        "fs.defaultFS": setup.filesystem,
        "hadoop.tmp.dir": str(setup.state / "tmp"),
        # Users are names only (alice, bob): looking up their groups in the operating system costs a fork and a warning.
        "hadoop.security.group.mapping": "org.apache.hadoop.security.NullGroupsMapping",
        "hadoop.user.group.static.mapping.overrides": f"{setup.user}={setup.user},supergroup;dr.who=",
        "hadoop.http.staticuser.user": "dr.who",
        f"hadoop.proxyuser.{setup.user}.hosts": "127.0.0.1",
        f"hadoop.proxyuser.{setup.user}.users": "*",
    }


def hdfs_site(setup: Setup) -> dict[str, str]:
    return {
        "dfs.replication": "1",
        "dfs.namenode.name.dir": f"file://{setup.state}/hdfs/name",
        "dfs.datanode.data.dir": f"file://{setup.state}/hdfs/data",
        "dfs.namenode.rpc-address": setup.at("namenode"),
        "dfs.namenode.http-address": setup.at("namenode-http"),
        "dfs.datanode.address": setup.at("datanode"),
        "dfs.datanode.ipc.address": setup.at("datanode-ipc"),
        "dfs.datanode.http.address": setup.at("datanode-http"),
        # WebHDFS redirects to this name: the machine's host name need not resolve to the loopback address.
        "dfs.datanode.hostname": setup.host,
        "dfs.namenode.datanode.registration.ip-hostname-check": "false",
        "dfs.namenode.safemode.extension": "0",
        "dfs.heartbeat.interval": "1",
        "dfs.namenode.heartbeat.recheck-interval": "5000",
        "dfs.namenode.handler.count": "10",
        "dfs.datanode.handler.count": "5",
    }


def yarn_site(setup: Setup) -> dict[str, str]:
    site = {
        "yarn.resourcemanager.hostname": setup.host,
        "yarn.resourcemanager.address": setup.at("resourcemanager"),
        "yarn.resourcemanager.webapp.address": setup.at("resourcemanager-http"),
        "yarn.resourcemanager.scheduler.address": setup.at("resourcemanager-scheduler"),
        "yarn.resourcemanager.resource-tracker.address": setup.at("resourcemanager-tracker"),
        "yarn.resourcemanager.admin.address": setup.at("resourcemanager-admin"),
        "yarn.resourcemanager.scheduler.class": _SCHEDULER_CLASSES[setup.scheduler],
        # Ten heartbeats a second instead of one: an allocation waits for a heartbeat.
        "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": "100",
        "yarn.nm.liveness-monitor.expiry-interval-ms": "30000",
        "yarn.resourcemanager.nm.liveness-monitor.interval-ms": "1000",
        "yarn.resourcemanager.connect.retry-interval.ms": "250",
        "yarn.resourcemanager.work-preserving-recovery.scheduling-wait-ms": "1000",
        "yarn.scheduler.minimum-allocation-mb": "64",
        "yarn.scheduler.maximum-allocation-mb": str(NODE_MEMORY),
        "yarn.scheduler.minimum-allocation-vcores": "1",
        "yarn.scheduler.maximum-allocation-vcores": str(NODE_VCORES),
        "yarn.webapp.ui2.enable": "false",
        "yarn.application.classpath": f"{setup.conf_dir},{setup.jars}/*",
        "yarn.nodemanager.hostname": setup.host,
        "yarn.nodemanager.resource.memory-mb": str(NODE_MEMORY),
        "yarn.nodemanager.resource.cpu-vcores": str(NODE_VCORES),
        "yarn.nodemanager.vmem-check-enabled": "false",
        "yarn.nodemanager.pmem-check-enabled": "true",
        # With true, the default, only the kernel's control groups enforce the limit, and they are not set up here.
        "yarn.nodemanager.resource.memory.enforced": "false",
        "yarn.nodemanager.container-monitor.interval-ms": "1000",
        "yarn.nodemanager.disk-health-checker.enable": "false",
        "yarn.nodemanager.delete.debug-delay-sec": "0",
        "yarn.nodemanager.remote-app-log-dir": "/tmp/logs",
        "yarn.log-aggregation-enable": "true",
        "yarn.log-aggregation.file-formats": "TFile",
        "yarn.log-aggregation.file-controller.TFile.class": (
            "org.apache.hadoop.yarn.logaggregation.filecontroller.tfile.LogAggregationTFileController"
        ),
    }
    if setup.scheduler == FAIR:
        site["yarn.scheduler.fair.allocation.file"] = str(setup.conf_dir / "fair-scheduler.xml")
        # The Fair Scheduler rounds containers up to multiples of this, by default 1024 MiB.
        site["yarn.scheduler.increment-allocation-mb"] = site["yarn.scheduler.minimum-allocation-mb"]
    if setup.recovery:
        site.update(
            {
                "yarn.resourcemanager.recovery.enabled": "true",
                # Files, because LevelDB's native library is missing on some platforms.
                "yarn.resourcemanager.store.class": (
                    "org.apache.hadoop.yarn.server.resourcemanager.recovery.FileSystemRMStateStore"
                ),
                "yarn.resourcemanager.fs.state-store.uri": f"file://{setup.state}/resourcemanager",
            }
        )
    return site


def capacity_scheduler(setup: Setup) -> dict[str, str]:
    root = "yarn.scheduler.capacity"
    site = {
        f"{root}.maximum-am-resource-percent": "0.8",
        f"{root}.per-node-heartbeat.maximum-offswitch-assignments": "100",
        f"{root}.root.queues": ",".join(setup.queues),
    }
    shares = [round(100 / len(setup.queues), 3)] * len(setup.queues)
    shares[-1] = round(100 - sum(shares[:-1]), 3)
    for queue, share in zip(setup.queues, shares, strict=True):
        site[f"{root}.root.{queue}.capacity"] = f"{share:g}"
        site[f"{root}.root.{queue}.maximum-capacity"] = "100"
        site[f"{root}.root.{queue}.user-limit-factor"] = "100"
        site[f"{root}.root.{queue}.state"] = "RUNNING"
    return site


def fair_scheduler(setup: Setup) -> str:
    """The Fair Scheduler's allocation file.

    Applications that name no queue run in root.default, and queues that are not declared are created, as on most clusters.
    The parent `teams` with the leaf `science` is for trying how queues below others are named.
    """
    names = [name for name in setup.queues if name not in {"default", "teams"}]
    declared = "".join(f"  <queue name={quoteattr(name)}/>\n" for name in names)
    return f"""\
<?xml version="1.0"?>
<allocations>
{declared}  <queue name="teams" type="parent">
    <queue name="science"/>
  </queue>
  <queueMaxAMShareDefault>0.8</queueMaxAMShareDefault>
  <queuePlacementPolicy>
    <rule name="specified" create="true"/>
    <rule name="default" queue="root.default" create="true"/>
  </queuePlacementPolicy>
</allocations>
"""


def node_properties(setup: Setup, node: int) -> dict[str, str]:
    """Properties of NodeManager `node` only, for its command line: all share one configuration folder."""
    suffix, host = ("" if node == 1 else f"-{node}"), setup.node_host(node)
    folder, own = node_dir(setup.state, node), f"nodemanager{suffix}:"
    found = {
        "yarn.nodemanager.hostname": host,
        "yarn.nodemanager.address": f"{host}:{setup.ports['nodemanager' + suffix]}",
        "yarn.nodemanager.localizer.address": f"{host}:{setup.ports['nodemanager-localizer' + suffix]}",
        "yarn.nodemanager.webapp.address": f"{host}:{setup.ports['nodemanager-http' + suffix]}",
        "yarn.nodemanager.local-dirs": str(folder / "local"),
        "yarn.nodemanager.log-dirs": str(folder / "logs"),
        **{key[len(own) :]: value for key, value in setup.settings.items() if key.startswith(own)},
    }
    return with_https_addresses(found) if setup.tls else found


def node_dir(state: Path, node: int) -> Path:
    """The folder of NodeManager `node` (from 1)."""
    return state / "nodes" / str(node)


def file_of(key: str) -> str:
    """The file that a Hadoop property belongs to, by its name."""
    if key.startswith("yarn.scheduler.capacity."):
        return "capacity-scheduler.xml"
    if key.startswith("yarn."):
        return "yarn-site.xml"
    return "hdfs-site.xml" if key.startswith("dfs.") else "core-site.xml"


def to_xml(properties: Mapping[str, str]) -> str:
    rows = "".join(
        f"  <property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"
        for name, value in sorted(properties.items())
    )
    return f'<?xml version="1.0"?>\n<configuration>\n{rows}</configuration>\n'


def hosts_file(setup: Setup, hostname: str) -> str:
    """The hosts file of the daemons' JVMs: they use no DNS server, which could be slow or give a node another name."""
    rows = ["127.0.0.1 localhost", f"127.0.0.1 {hostname}"]
    rows += [f"{address} {address}" for address in map(node_address, range(2, max(setup.nodes, 2) + 1))]
    return "\n".join(rows) + "\n"


def configuration(setup: Setup, tls_password: str = "") -> dict[str, str]:
    """All files of the configuration folder, from relative name to text.

    Args:
        setup: the cluster.
        tls_password: of the stores of certificates.
    """
    sites = {
        "core-site.xml": core_site(setup),
        "hdfs-site.xml": hdfs_site(setup),
        "yarn-site.xml": yarn_site(setup),
        "capacity-scheduler.xml": capacity_scheduler(setup) if setup.scheduler == CAPACITY else {},
    }
    if setup.ha:
        for properties in sites.values():
            for name in high_availability.REPLACED:
                properties.pop(name, None)
        both = high_availability.properties(setup.at, setup.ports.__getitem__, setup.host, setup.state / "hdfs")
        for key, value in both.items():
            sites[file_of(key)][key] = value
    secure = tls_properties() if setup.tls else {}
    if setup.kerberos:
        folder = setup.kerberos_dir
        secure |= kerberos_properties(
            folder / DAEMONS_KEYTAB, folder / SIGNATURE_SECRET, folder / KRB5_CONF, tls=setup.tls
        )
    for key, value in {**secure, **setup.settings}.items():
        if ":" not in key:  # see node_properties
            sites[file_of(key)][key] = value
    if setup.tls:
        sites = {name: with_https_addresses(properties) for name, properties in sites.items()}
        sites["ssl-server.xml"] = ssl_server(setup.tls_dir, tls_password)
        sites["ssl-client.xml"] = ssl_client(setup.tls_dir, tls_password)
    files = {name: to_xml(properties) for name, properties in sites.items()}
    if setup.ha:  # parts of a ResourceManager, such as its proxy, read the files and not its command line
        for place, own in high_availability.own_folders().items():
            files[f"{place}/yarn-site.xml"] = to_xml({**sites["yarn-site.xml"], **own})
    if setup.scheduler == FAIR:
        files["fair-scheduler.xml"] = fair_scheduler(setup)
    files["log4j.properties"] = CLIENT_LOG4J
    files["daemon-log4j.properties"] = DAEMON_LOG4J
    files["daemon-logging.properties"] = JUL_PROPERTIES
    files.update({f"webapps/{name}/WEB-INF/web.xml": WEB_XML for name in WEB_APPS})
    return files


def scripts(setup: Setup, java: Path) -> dict[str, str]:
    """The commands `hadoop`, `hdfs` and `yarn`: one script that has the subcommands that programs need."""
    text = f"""\
#!/bin/sh
# A replacement for Hadoop's command of this name, for the embedded cluster in {setup.state}.
export HADOOP_CONF_DIR='{setup.conf_dir}'
classpath='{setup.conf_dir}:{setup.jars}/*'
command="$1"
[ $# -gt 0 ] && shift
case "$command" in
  classpath) echo "$classpath"; exit 0 ;;
  version) echo 'Hadoop {setup.hadoop}'; exit 0 ;;
  fs|dfs) set -- org.apache.hadoop.fs.FsShell "$@" ;;
  dfsadmin) set -- org.apache.hadoop.hdfs.tools.DFSAdmin "$@" ;;
  jar) set -- org.apache.hadoop.util.RunJar "$@" ;;
  app|application|container) set -- org.apache.hadoop.yarn.client.cli.ApplicationCLI "$command" "$@" ;;
  node) set -- org.apache.hadoop.yarn.client.cli.NodeCLI "$@" ;;
  logs) set -- org.apache.hadoop.yarn.client.cli.LogsCLI "$@" ;;
  rmadmin) set -- org.apache.hadoop.yarn.client.cli.RMAdminCLI "$@" ;;
  *.*) set -- "$command" "$@" ;;
  *) echo "usage: $0 classpath|version|fs|dfs|dfsadmin|jar|application|node|logs|rmadmin|CLASS [argument ...]" >&2
     exit 2 ;;
esac
exec '{java}' -cp "$classpath${{HADOOP_CLASSPATH:+:$HADOOP_CLASSPATH}}" \\
  --add-opens=java.base/java.lang=ALL-UNNAMED -XX:TieredStopAtLevel=1 -XX:+UseSerialGC $HADOOP_OPTS "$@"
"""
    return {name: text for name in ("hadoop", "hdfs", "yarn")}
