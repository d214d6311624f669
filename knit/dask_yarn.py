"""knit 0.2.4's `DaskYARNCluster`, on knit_core.dask_yarn.

cluster = DaskYARNCluster(env=env)
cluster.start(nworkers=10, memory=4096, cpus=2)
client = Client(cluster)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from knit.core import Knit
from knit.exceptions import KnitException, translated
from knit_core.dask_yarn import DaskYARNCluster as Cluster
from knit_core.dask_yarn.counting import Census
from knit_core.model.units import mebibytes

_PACKAGES = ("python", "dask", "distributed")


class DaskYARNCluster(Cluster):
    """A Dask cluster on YARN, started by `start`; its scheduler also runs on YARN.

    Args:
        autodetect: kept for compatibility: missing settings are always detected.
        packages, channels: without `env`, an environment is built of these packages, python and dask.
        env: an environment, or its archive.
        ip: kept for compatibility: the scheduler has a container of its own.
        conda_pars: as in `Knit.create_env`.
        kwargs: of `Knit` (rm, nn, user …), and options of `knit_core.dask_yarn.DaskYARNCluster`.
    """

    def __init__(
        self,
        autodetect: bool = True,
        packages: Sequence[str] | None = None,
        ip: str | None = None,
        env: Any = None,
        channels: Sequence[str] | None = None,
        conda_pars: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        options = {key: kwargs.pop(key) for key in list(kwargs) if key in _OPTIONS}
        knit = Knit(autodetect, **kwargs)
        if env is None:
            wanted = [*_PACKAGES, *(packages or ())]
            env = knit.create_env("dask", packages=wanted, channels=channels, conda_pars=conda_pars)
        with translated():
            super().__init__(env, knit=knit.client, **options)

    async def _start(self) -> None:
        with translated():
            await super()._start()

    async def refresh(self) -> Census:
        with translated():
            return await super().refresh()

    def start(
        self,
        n_workers: int = 1,
        cpus: int | None = 1,
        memory: int | str | None = 2048,
        checks: bool = True,
        *,
        nworkers: int | None = None,
    ) -> str:
        """Launch it; returns the application's id. Memory is in MiB for each worker.

        Raises:
            KnitException: the cluster does not have such resources.
            YARNException: YARN is unreachable.
        """
        with translated():
            app_id: str = super().start(n_workers, cpus, memory, nworkers=nworkers, checks=checks)
            return app_id

    def add_workers(self, n_workers: int = 1, cpus: int | None = None, memory: int | None = None) -> None:
        """Start more workers of the size given to `start`.

        Raises:
            KnitException: another size, which needs a separate group (`knit_core.dask_yarn.WorkerGroup`).
        """
        group = next(iter(self._layout.groups.values()))
        if (cpus or group.vcores) != group.vcores or mebibytes(memory or group.memory) != mebibytes(group.memory):
            raise KnitException(
                f"The workers of this cluster have {group.vcores} cores and {mebibytes(group.memory)} MiB; workers of "
                "another size need a separate group: knit_core.dask_yarn.DaskYARNCluster(groups={…})"
            )
        with translated():
            super().add_workers(n_workers)

    def remove_worker(self, container: str) -> None:
        """End one worker, after its data was moved to other workers.

        Raises:
            KnitException: there is no such container.
        """
        with translated():
            super().remove_worker(container)

    def scale(self, n: int, group: str | None = None) -> Any:
        """Set the number of workers to `n`."""
        with translated():
            return super().scale(n, group)

    @property
    def workers(self) -> list[str]:  # type: ignore[override]
        """YARN's ids of the workers' containers; on the cluster's own event loop, from the last count."""
        if self.app is not None and self.scheduler_comm is not None and not self.asynchronous:
            with translated():
                self.sync(self.refresh)
        return sorted(self._census.yarn)

    def close(self, timeout: float | None = None) -> None:
        """End the cluster's application, as in knit 0.2.4."""
        with translated():
            self.shutdown()

    stop = close


_OPTIONS = {
    "scheduler_memory",
    "scheduler_vcores",
    "security",
    "idle_timeout",
    "nanny",
    "processes",
    "queue",
    "name",
    "quiet",
}

__all__ = ["DaskYARNCluster"]
