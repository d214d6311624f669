"""An embedded cluster for trials and tests: a real NameNode, DataNode, ResourceManager and NodeManagers on this machine.

Importing it is cheap (standard library only); Java, Maven and jgo are looked for when a cluster is brought up.
"""

from __future__ import annotations

from knit_core.local.cluster import LocalCluster, running_cluster
from knit_core.local.errors import DaemonFailed, JarsUnavailable, LocalClusterError, NoJava, NotRunning
from knit_core.local.records import ClusterStatus, DaemonStatus, Step

__all__ = [
    "ClusterStatus",
    "DaemonFailed",
    "DaemonStatus",
    "JarsUnavailable",
    "LocalCluster",
    "LocalClusterError",
    "NoJava",
    "NotRunning",
    "Step",
    "running_cluster",
]
