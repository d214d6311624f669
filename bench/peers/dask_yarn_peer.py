"""A Dask cluster with dask-yarn 0.9, as its manual does it. Arguments and output: see `../dask.py`."""

import dask_steps
from distributed import Client

if __name__ == "__main__":
    steps = dask_steps.Steps()
    from dask_yarn import YarnCluster

    cluster = YarnCluster(
        environment=f"python://{steps.prefix}/bin/python",
        n_workers=2, worker_memory="512 MiB", worker_vcores=1, scheduler_memory="512 MiB", worker_restarts=5,
    )  # fmt: skip
    with Client(cluster) as client:
        steps.run(cluster, client)
    cluster.shutdown()
