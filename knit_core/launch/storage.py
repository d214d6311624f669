"""Launch data on HDFS: the staging folder and the launch records."""

from __future__ import annotations

from functools import cached_property

from knit_core.hadoop.cluster import Cluster
from knit_core.hdfs_cache.staging import Staging
from knit_core.launch.ledger import Ledger


class LaunchStorage:
    """The staging folder and the launch records of one client.

    Each is created on first use, because the default path needs a query to HDFS for the home folder.

    Args:
        cluster: the connections.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @cached_property
    def staging(self) -> Staging:
        """The staging folder."""
        return Staging.of(self._cluster)

    @cached_property
    def ledger(self) -> Ledger:
        """The launch records."""
        return Ledger(self._cluster.hdfs, self._cluster.config.staging)


__all__ = ["LaunchStorage"]
