"""knit 0.2.4's `DaskYARNCluster`, on knit_core.dask_yarn.

cluster = DaskYARNCluster(env=env)
cluster.start(nworkers=10, memory=4096, cpus=2)
client = Client(cluster)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dask

from knit.core import Knit
from knit.env import CondaCreator, environment_of
from knit.exceptions import KnitException, translated
from knit.notices import warn_ignored, warn_old
from knit.refusals import refusing
from knit_core.dask_yarn import DaskYARNCluster as Cluster
from knit_core.dask_yarn.counting import Census
from knit_core.dask_yarn.sizing import in_thread
from knit_core.model.ids import ContainerId
from knit_core.model.units import mebibytes

_PACKAGES = ("python", "dask", "distributed")
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
_LOADER = "distributed.client.security-loader"
#: Certificates of this process's clusters, by the address of the scheduler.
_security: dict[str, Any] = {}
__getattr__ = refusing(__name__, "dask_yarn.core")


class DaskYARNCluster(Cluster):
    """A Dask cluster on YARN, started by `start`; its scheduler also runs on YARN.

    It ends with its `with` block, with `close` or `stop`, and with the process.

    Args:
        autodetect: as of `Knit`.
        packages, channels: without `env`, an environment is built of these packages, python and dask, at the start.
        env: an environment, its archive or its folder.
        ip: has no effect: the scheduler runs in a container, at its node's address.
        conda_pars: as in `Knit.create_env`.
        kwargs: of `Knit` (rm, nn, user, hdfs …), and options of `knit_core.dask_yarn.DaskYARNCluster`.

    Attributes:
        env: the environment; after the start the path of the one that was built.
        packages, channels, conda_pars: of the environment.
    """

    def __init__(
        self,
        autodetect: bool = True,
        packages: Sequence[str] | None = None,
        ip: str | None = None,
        env: Any = None,
        channels: Sequence[str] | None = None,
        conda_pars: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if ip is not None:
            warn_ignored("ip", "the scheduler runs in a container, at its node's address")
        if isinstance(packages, str) or isinstance(channels, str):
            raise TypeError('packages and channels are lists: packages=["numpy"]')
        options = {key: kwargs.pop(key) for key in list(kwargs) if key in _OPTIONS}
        self._seed = Knit(autodetect, **kwargs)
        self.env, self.conda_pars = env, conda_pars
        self.packages, self.channels = [*_PACKAGES, *(packages or ())], list(channels or ())
        self._begun = False
        with translated():
            super().__init__(None, knit=self._seed.client, **options)

    @classmethod
    def from_application(cls, app_id: str, *, knit: Any = None, **options: Any) -> Cluster:
        """Attach to a running cluster: see `knit_core.dask_yarn.DaskYARNCluster.from_application`."""
        with translated():
            return Cluster.from_application(app_id, knit=knit.client if isinstance(knit, Knit) else knit, **options)

    @property
    def knit(self) -> Knit:  # type: ignore[override]
        """`Knit` with the cluster's application: status, logs, kill …"""
        return self._seed

    @property
    def app_id(self) -> str | None:
        """Id of the application; None before the start."""
        return self.app.id if self.app else None

    @property
    def application_master_container(self) -> str | None:
        """YARN's id of the ApplicationMaster's container; None before it runs."""
        if self.app is None:
            return None
        with translated():
            found = ContainerId.search(self.app.report().master_logs)
        return str(found) if found else None

    @property
    def local_cluster(self) -> DaskYARNCluster:
        """This cluster: it has the scheduler, which knit 0.2.4 ran in a LocalCluster."""
        warn_old("local_cluster", "the cluster itself: scheduler_address, scheduler_info, dashboard_link")
        return self

    def __enter__(self) -> DaskYARNCluster:
        """The cluster as it is: `start` launches it."""
        return self

    async def _start(self) -> None:
        with translated():
            if self.app is None and self._layout.env is None:
                self._layout = replace(self._layout, env=await in_thread(self._environment))
            try:
                await super()._start()
            finally:
                if self.app is not None and self._seed.app is None:
                    self._seed.own(self.app)

    def _environment(self) -> Any:
        self._seed.find_namenode()
        if self.env is None and self.conda_pars:
            text = "-".join((*self.packages, *self.channels))
            name = f"dask-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
            creator = CondaCreator(**{"channels": self.channels, **self.conda_pars})
            self.env = creator.create_env(name, self.packages)
        elif self.env is None:
            built = self._seed.client.create_env("dask", self.packages, self.channels)
            self.env = str(built.archive)
            return built
        return environment_of(self.env)

    async def _connect(self, scheduler: Any) -> None:
        await super()._connect(scheduler)
        _security.update(dict.fromkeys((scheduler.address, self.scheduler_address), self.security))
        if dask.config.get(_LOADER, None) is None:
            dask.config.set({_LOADER: f"{__name__}.{security_for.__name__}"})

    async def refresh(self) -> Census:
        with translated():
            return await super().refresh()

    def start(  # type: ignore[override]
        self,
        n_workers: int = 1,
        cpus: int = 1,
        memory: int | str = 2048,
        checks: bool = True,
        *,
        nworkers: int | None = None,
        cpu: int | None = None,
        queue: str | None = None,
        files: Sequence[str] | None = None,
        envvars: Mapping[str, str] | None = None,
        app_name: str | None = None,
    ) -> str:
        """Launch it; returns the application's id. Memory is in MiB for each worker.

        Args:
            n_workers, cpus, memory: number of workers; cores and MiB of each. Also `nworkers` and `cpu`.
            checks: refuse what the cluster cannot run before anything is submitted.
            queue, app_name: queue and name of the application.
            files, envvars: of all containers, as of `Knit.start`.

        Raises:
            ValueError: it was started before.
            KnitException: the cluster does not have such resources.
            YARNException: YARN is unreachable.
        """
        number, cores = n_workers if nworkers is None else nworkers, cpus if cpu is None else cpu
        if self.app is not None and not self._begun:
            return self._grow(number, cores, memory)
        if isinstance(files, str):
            raise KnitException(f"files is a list of paths, not one text: files=[{files!r}]")
        self._fields.update({key: value for key, value in (("queue", queue), ("name", app_name)) if value})
        with translated():
            shared = [*self._layout.files, *(self._seed.file(path) for path in files or ())]
            variables = {**self._layout.variables, **self._seed.variables(envvars)}
            self._layout = replace(self._layout, files=shared, variables=variables)
            app_id: str = super().start(number, cores, memory, checks=checks)
        self._begun = True
        return app_id

    def _grow(self, number: int, cores: int, memory: int | str) -> str:
        """The first workers of a cluster that a Client has started, without any."""
        self._check_size(cores, memory)
        self._begun = True
        self.scale(number)
        return str(self.app_id)

    def add_workers(self, n_workers: int = 1, cpus: int | None = None, memory: int | None = None) -> None:
        """Start more workers of the size given to `start`.

        Raises:
            KnitException: another size, which needs a separate group (`knit_core.dask_yarn.WorkerGroup`).
        """
        self._check_size(cpus, memory)
        with translated():
            super().add_workers(n_workers)

    def _check_size(self, cpus: int | None, memory: int | str | None) -> None:
        group = next(iter(self._layout.groups.values()))
        if (cpus or group.vcores) != group.vcores or mebibytes(memory or group.memory) != mebibytes(group.memory):
            raise KnitException(
                f"The workers of this cluster have {group.vcores} cores and {mebibytes(group.memory)} MiB; workers of "
                "another size need a separate group: knit_core.dask_yarn.DaskYARNCluster(groups={…})"
            )

    def remove_worker(self, container_id: str) -> None:
        """End one worker, after its data was moved to other workers.

        Raises:
            KnitException: there is no such container.
        """
        with translated():
            super().remove_worker(container_id)

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


def security_for(info: Mapping[str, str]) -> Any:
    """Dask's security loader: the certificates for `Client(address)`; None: those of Dask's configuration.

    Raises:
        KnitException: the scheduler uses TLS, and there are no certificates for it.
    """
    address = str(info.get("address", ""))
    known = _security.get(address)
    if known is None and address.startswith("tls://") and not dask.config.get("distributed.comm.tls.ca-file", None):
        raise KnitException(
            f"The scheduler at {address} uses TLS, and this process has no certificates for it: use Client(cluster); in another "
            "process Client(knit_core.dask_yarn.DaskYARNCluster.from_application(app_id)); or start the cluster with "
            "DaskYARNCluster(security=False)"
        )
    return known


__all__ = ["DaskYARNCluster", "security_for"]
