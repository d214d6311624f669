"""Facts about the cluster that a plan needs. Plain values, no I/O."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

from knit_core.model.representation import shown

# The default of yarn.application.classpath in yarn-default.xml; the ResourceManager's /conf does not contain it.
DEFAULT_CLASSPATH = (
    "$HADOOP_CONF_DIR,$HADOOP_COMMON_HOME/share/hadoop/common/*,$HADOOP_COMMON_HOME/share/hadoop/common/lib/*,"
    "$HADOOP_HDFS_HOME/share/hadoop/hdfs/*,$HADOOP_HDFS_HOME/share/hadoop/hdfs/lib/*,"
    "$HADOOP_YARN_HOME/share/hadoop/yarn/*,$HADOOP_YARN_HOME/share/hadoop/yarn/lib/*"
)


@shown
@dataclass(frozen=True)
class NewApplication:
    """A new application id, with the largest container that the ResourceManager allocates."""

    id: str
    memory: int  # MiB
    vcores: int
    resources: Mapping[str, int]  # maxima of other resource types by name


@shown
@dataclass(frozen=True)
class Queue:
    """One queue of the scheduler.

    Attributes:
        name, path: "science" and "root.teams.science".
        leaf: whether it accepts applications; other queues only contain queues.
        running: whether its state is RUNNING.
        labels: node labels that it may use; "*" for all; None when the scheduler does not report them.
        shares: maximum percentage of a label's nodes, by label.
        lifetime: maximum lifetime of an application in seconds; 0 for no limit.
        memory, vcores: maximum of one container; 0 for the cluster's.
        makes: whether YARN creates a queue below it when an application names one (Fair Scheduler, auto-created queues).
        by_path: whether applications must name it by its full path, not by the last part (Fair Scheduler).
        by_name: whether applications must name it by the last part (Capacity Scheduler before Hadoop 3.4).
        by_mapping: whether YARN creates queues below it only where a queue mapping places an application, not when an
            application names one (`auto-create-child-queue.enabled`).
        state: "RUNNING", "STOPPED", "DRAINING"; empty when the scheduler does not report it.
    """

    name: str
    path: str
    leaf: bool
    running: bool
    labels: tuple[str, ...] | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    lifetime: int = 0
    memory: int = 0
    vcores: int = 0
    makes: bool = False
    by_path: bool = False
    by_name: bool = False
    by_mapping: bool = False
    state: str = ""


@shown
@dataclass(frozen=True)
class Node:
    """One node (NodeManager), running or not.

    Attributes:
        host: its name at the scheduler.
        rack: "/rack-1".
        state: YARN's NodeState: RUNNING, LOST …
        memory: total MiB.
        vcores: total.
        resources: totals of other resource types by name.
        label: its node label; empty for none.
        id: `host:port`.
        free_memory, free_vcores: MiB and cores that are not allocated.
    """

    host: str
    rack: str
    state: str
    memory: int
    vcores: int
    resources: Mapping[str, int] = field(default_factory=dict)
    label: str = ""
    id: str = ""
    free_memory: int = 0
    free_vcores: int = 0

    @property
    def running(self) -> bool:
        """Whether containers can start there."""
        return self.state == "RUNNING"


@shown
@dataclass(frozen=True)
class ClusterTotals:
    """The sums over all active nodes."""

    memory: int  # MiB
    vcores: int
    nodes: int

    @property
    def settled(self) -> bool:
        """Whether there are nodes, and their resources are counted, too: a moment after a node has registered."""
        return self.nodes > 0 and self.memory > 0


@shown
@dataclass(frozen=True)
class ClusterFeatures:
    """Features and limits in the cluster's configuration.

    None for what is not known: a cluster may show `/conf` to administrators only.

    Attributes:
        node_labels: whether node labels are enabled.
        opportunistic: whether opportunistic containers are enabled.
        docker: whether the Docker runtime is enabled, according to the ResourceManager's copy of the nodes' properties.
        acls: whether applications' ACLs are enforced.
        aggregation: whether logs are aggregated.
        rolling: whether logs are aggregated while applications run.
        priority: maximum priority of an application.
        attempts: maximum number of attempts of an ApplicationMaster.
        tags, tag_length: maximum number of tags, maximum length of a tag.
        expiry: seconds after which YARN takes back an unused allocation.
        placement: whether rules of the cluster may place an application in another queue than the one that it names.
    """

    node_labels: bool | None = None
    opportunistic: bool | None = None
    docker: bool | None = None
    acls: bool | None = None
    aggregation: bool | None = None
    rolling: bool | None = None
    priority: int | None = None
    attempts: int | None = None
    tags: int | None = None
    tag_length: int | None = None
    expiry: float | None = None
    placement: bool | None = None


@shown
@dataclass(frozen=True)
class FileStatus:
    """One file or folder: size in bytes, modification time in ms, octal permission; `link`: a symbolic link."""

    path: str
    size: int
    modified: int
    folder: bool
    owner: str
    permission: str
    link: bool = False

    @property
    def name(self) -> str:
        """Last part of the path."""
        return posixpath.basename(self.path)


@shown
@dataclass(frozen=True)
class ClusterFacts:
    """Facts about the cluster and the user.

    Attributes:
        new: the new application id and the largest container.
        queues: of the scheduler; empty when it has none, or does not report them.
        totals: of the active nodes; None when not queried, or for administrators only.
        user: the user of the connection.
        filesystem: `hdfs://…` as the nodes use it.
        webhdfs: HTTP addresses of the filesystem, for containers.
        staging: path of the staging folder.
        simple: whether Hadoop uses simple authentication (no tokens).
        classpath: `yarn.application.classpath`.
        default_queue: the queue if the specification names none.
        resource_types: maxima of resource types besides memory and vcores, by name.
        counts_vcores: whether the scheduler counts cores (DominantResourceCalculator).
        java: command on the nodes; empty for $JAVA_HOME/bin/java, else java.
        api_ports: inclusive range; (0, 0) for any port.
        features: features and limits in the configuration.
        nodes: all nodes; None when not queried, or for administrators only.
        labels: the cluster's node labels; None when not queried, or for administrators only.
        class_sharing: whether ApplicationMasters may keep an archive of their classes on the nodes.
        ca: local file of certificates with which containers verify HDFS's https address; "false" for no verification; empty
            when none is needed, or the nodes have them.
    """

    new: NewApplication
    queues: tuple[Queue, ...]
    totals: ClusterTotals | None
    user: str
    filesystem: str
    webhdfs: tuple[str, ...]
    staging: str
    simple: bool = True
    classpath: str = DEFAULT_CLASSPATH
    default_queue: str = "default"
    resource_types: Mapping[str, int] = field(default_factory=dict)
    counts_vcores: bool = False
    java: str = ""
    api_ports: tuple[int, int] = (0, 0)
    features: ClusterFeatures = ClusterFeatures()
    nodes: tuple[Node, ...] | None = None
    labels: tuple[str, ...] | None = None
    ca: str = ""
    class_sharing: bool = True

    def attempts(self, wanted: int) -> int:
        """The number of attempts of an ApplicationMaster: `wanted`, limited by the cluster."""
        return wanted if self.features.attempts is None else min(wanted, self.features.attempts)
