"""Facts about the cluster that a plan needs, gathered before anything is planned. Plain values, no I/O."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

from knit_core.model.representation import shown

# What yarn-default.xml documents for yarn.application.classpath; the ResourceManager's /conf says nothing when it is not set.
DEFAULT_CLASSPATH = (
    "$HADOOP_CONF_DIR,$HADOOP_COMMON_HOME/share/hadoop/common/*,$HADOOP_COMMON_HOME/share/hadoop/common/lib/*,"
    "$HADOOP_HDFS_HOME/share/hadoop/hdfs/*,$HADOOP_HDFS_HOME/share/hadoop/hdfs/lib/*,"
    "$HADOOP_YARN_HOME/share/hadoop/yarn/*,$HADOOP_YARN_HOME/share/hadoop/yarn/lib/*"
)


@shown
@dataclass(frozen=True)
class NewApplication:
    """A fresh application id with what one container may have at most."""

    id: str
    memory: int  # MiB
    vcores: int
    resources: Mapping[str, int]  # other resource types' maxima by name


@shown
@dataclass(frozen=True)
class Queue:
    """One queue of the scheduler.

    Attributes:
        name, path: "science" and "root.teams.science".
        leaf: takes applications.
        running: takes them now.
        labels: node labels it may use, "*": all; None: the scheduler does not tell.
        shares: percent of a label's nodes that it may use at most, by label.
        lifetime: seconds an application may live at most; 0: no limit.
        memory, vcores: of one container at most; 0: the cluster's.
        makes: queues below it are made when an application names them (Fair Scheduler, auto-created queues).
        by_path: it is named by its path only, not by the last part of it (Fair Scheduler).
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


@shown
@dataclass(frozen=True)
class Node:
    """One node (NodeManager), running or not.

    Attributes:
        host: as the scheduler names it.
        rack: "/rack-1".
        state: YARN's word: RUNNING, LOST …
        memory: MiB in all.
        vcores: in all.
        resources: other resource types, in all, by name.
        label: its node label; empty: none.
        id: `host:port`.
        free_memory: MiB that no container has; free_vcores: the cores.
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
    """What all active nodes have together."""

    memory: int  # MiB
    vcores: int
    nodes: int


@shown
@dataclass(frozen=True)
class Switches:
    """What the cluster's configuration allows. None everywhere: not known (`/conf` may be for administrators only).

    Attributes:
        node_labels: node labels are on.
        opportunistic: opportunistic containers are on.
        docker: the Docker runtime is on, as far as the ResourceManager's configuration tells of the nodes.
        acls: applications' ACLs are looked at.
        aggregation: logs are aggregated.
        rolling: … while applications run, too.
        priority: the highest that an application may have.
        attempts: how many an ApplicationMaster may have.
        tags, tag_length: how many, and how long, tags may be.
        expiry: seconds after which an allocation that was not used is taken back.
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
    """Facts about the cluster and about who launches.

    Attributes:
        new: the fresh application id and the largest container.
        queues: of the scheduler; empty: it has none, or does not tell.
        totals: of the active nodes.
        user: who acts.
        filesystem: `hdfs://…` as the nodes use it.
        webhdfs: HTTP addresses of it.
        staging: path of the staging folder.
        simple: simple authentication (no tokens).
        classpath: `yarn.application.classpath`.
        default_queue: the queue when the spec names none.
        resource_types: names of resource types the cluster knows besides memory and vcores.
        counts_vcores: whether the scheduler counts cores (DominantResourceCalculator).
        java: command on the nodes; empty: $JAVA_HOME/bin/java, else java.
        api_ports: inclusive range; (0, 0): any.
        switches: what the configuration allows.
        nodes: all nodes; None: not asked for, or not told.
        labels: the cluster's node labels; None: not asked for, or not told.
        class_sharing: ApplicationMasters may keep an archive of their classes on the nodes.
        ca: local file of certificates that containers need for HDFS's https address; "false": they check none; empty: they
            need none, or have it on their nodes.
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
    switches: Switches = Switches()
    nodes: tuple[Node, ...] | None = None
    labels: tuple[str, ...] | None = None
    ca: str = ""
    class_sharing: bool = True

    def attempts(self, wanted: int) -> int:
        """How many attempts an ApplicationMaster really gets of those that were asked for."""
        return wanted if self.switches.attempts is None else min(wanted, self.switches.attempts)
