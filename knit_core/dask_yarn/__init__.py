"""Dask on YARN: `DaskYARNCluster` (needs the extra `dask`).

from knit_core.dask_yarn import DaskYARNCluster
from distributed import Client

with DaskYARNCluster(env=env, n_workers=10, memory="4 GiB", vcores=2) as cluster, Client(cluster) as client:
    ...
"""

from __future__ import annotations

from knit_core.errors import ConfigError

try:
    from knit_core.dask_yarn.cluster import DaskYARNCluster
except ImportError as error:
    if (error.name or "").partition(".")[0] not in {"distributed", "dask"}:
        raise
    raise ConfigError(f"Dask is not installed ({error}): pip install 'knit-yarn[dask]'") from error
from knit_core.dask_yarn.services import WorkerGroup
from knit_core.dask_yarn.versions import VersionMismatch

__all__ = ["DaskYARNCluster", "VersionMismatch", "WorkerGroup"]
