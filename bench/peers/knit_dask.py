"""A Dask cluster with this Knit, as its manual does it. Arguments and output: see `../dask.py`."""

import dask_steps
from distributed import Client

if __name__ == "__main__":
    steps = dask_steps.Steps()
    from knit_core import Knit
    from knit_core.dask_yarn import DaskYARNCluster
    from knit_core.environments import Environment

    cluster = DaskYARNCluster(
        Environment.from_path(steps.prefix),
        n_workers=2, memory=512, vcores=1, scheduler_memory=512, knit=Knit(steps.resourcemanager),
    )  # fmt: skip
    with Client(cluster) as client:
        steps.run(cluster, client)
    cluster.shutdown()
