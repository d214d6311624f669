"""Scaling of a Dask cluster: counts workers, requests containers, gives them back without loss of data."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from distributed import Status
from distributed.deploy import Cluster

from knit_core.dask_yarn.adaptive import KnitAdaptive
from knit_core.dask_yarn.counting import Census, container_of, surplus, whole
from knit_core.dask_yarn.services import described
from knit_core.errors import KnitError, NotFound, RequestRefused
from knit_core.model.result import Result

if TYPE_CHECKING:
    from knit_core.application import Application
    from knit_core.dask_yarn.launching import Scheduler
    from knit_core.dask_yarn.services import Layout

T = TypeVar("T")
_RETRY_TIMEOUT = 5.0  # seconds to wait for a restarted ApplicationMaster when containers are counted


class Sizing:
    """The part of `DaskYARNCluster` that counts and changes its workers."""

    if TYPE_CHECKING:
        app: Application | None
        name: str
        status: Any
        asynchronous: bool
        sync: Callable[..., Any]
        scheduler_comm: Any
        scheduler_info: Any
        _layout: Layout
        _fields: dict[str, Any]
        _scheduler: Scheduler | None
        _result: Result | None
        _start: Callable[[], Awaitable[None]]
        _raise_ended: Callable[[], None]

    def __init__(self) -> None:
        self._census = Census()
        self._changing = asyncio.Lock()

    @property
    def groups(self) -> Mapping[str, Any]:
        """Groups of workers by name, with `processes` of each container and abstract `resources` of each process."""
        if self._scheduler is not None and self._scheduler.groups:
            return self._scheduler.groups
        return described(self._layout)

    def group_named(self, name: str | None) -> str:
        """Check a group's name; None stands for the first group.

        Raises:
            NotFound: there is no such group.
        """
        groups = list(self.groups)
        if name is None:
            return groups[0]
        if name not in groups:
            raise NotFound(f"The Dask cluster has no group {name!r}; there are: {', '.join(groups)}")
        return name

    @property
    def workers(self) -> dict[str, str]:
        """The group of each current or future container, by name (`worker_0`), from the last count."""
        return dict(self._census.groups)

    def containers_of(self, group: str | None = None) -> frozenset[str]:
        """Current and future containers of a group (by default the first), from the last count."""
        return self._census.of_group(self.group_named(group))

    @property
    def plan(self) -> set[str]:
        """Current and future containers of the first group."""
        return set(self.containers_of())

    requested = plan

    @property
    def worker_names(self) -> list[str]:
        """Names of the workers that are known to the scheduler."""
        return [str(row["name"]) for row in self.scheduler_info["workers"].values()]

    @property
    def observed(self) -> set[str]:
        """Containers of the first group whose workers are known to the scheduler."""
        return self.plan & {str(container_of(name)) for name in self.worker_names}

    async def refresh(self) -> Census:
        """Count containers and workers.

        Raises:
            MasterUnreachable: the ApplicationMaster is being restarted.
        """
        if self.app is None or self.scheduler_comm is None:
            raise ValueError("The Dask cluster has not been started")
        rows = await in_thread(functools.partial(self.app.containers, retry_timeout=_RETRY_TIMEOUT))
        self._census = Census.of(rows, self.groups)
        now = (await self.scheduler_comm.identity())["workers"]
        known = self.scheduler_info["workers"]
        for address in set(known) - set(now):
            del known[address]
        known.update(now)
        return self._census

    def _update_worker_status(self, op: str, msg: Any) -> None:
        """Called by distributed's Cluster for each change of workers.

        Cluster raises an error when a worker is removed that it no longer has, since `wait_for_workers` and `refresh` also
        update the list. So such a removal is ignored.
        """
        if op != "remove" or msg in self.scheduler_info["workers"]:
            Cluster._update_worker_status(self, op, msg)

    async def _refresh_quietly(self) -> None:
        with contextlib.suppress(KnitError, OSError):  # the follower reports the application's end
            await self.refresh()

    def scale(self, n: int, group: str | None = None) -> Any:
        """Set the number of containers with workers of a group; returns after the request, before the containers start.

        When scaling down, containers without a worker are ended first, then idle ones; their data is moved before.

        Args:
            n: number of containers.
            group: name of the group; by default the first.

        Raises:
            ValueError: `n` is negative.
            NotFound: there is no such group.
            ApplicationEnded: the cluster has ended; with the reason.
        """
        if n < 0:
            raise ValueError(f"a cluster cannot have {n} workers")
        return self._do(self._scale, n, group)

    async def _scale(self, n: int, group: str | None) -> None:
        await self._start()
        assert self.app is not None
        name = self.group_named(group)
        async with self._changing:
            have = (await self.refresh()).of_group(name)
            if n > len(have):
                await in_thread(functools.partial(self.app.scale, by=n - len(have), service=name))
                await self.refresh()
            elif n < len(have):
                spare = await self.scheduler_comm.workers_to_close(n=len(self.worker_names), attribute="name")
                arrived = {str(container_of(worker)) for worker in self.worker_names}
                going = surplus(have, arrived, whole(spare, self.worker_names), len(have) - n)
                await self._end(going, by_force=True)

    async def retire(self, containers: Iterable[str]) -> list[str]:
        """Move the data of these containers, then give them back; containers whose data cannot be moved stay.

        Args:
            containers: Knit's names (`worker_3`).

        Returns:
            The containers that were given back.
        """
        async with self._changing:
            return await self._end(list(containers), by_force=False)

    async def _end(self, containers: list[str], *, by_force: bool) -> list[str]:
        assert self.app is not None
        where: dict[str, list[str]] = {name: [] for name in containers}
        for address, row in (await self.scheduler_comm.identity())["workers"].items():
            if container_of(row["name"]) in where:
                where[str(container_of(row["name"]))].append(address)
        addresses = [address for some in where.values() for address in some]
        retired: Mapping[str, Any] = {}
        if addresses:
            # workers are not closed here: a closed worker would be restarted before its container is given back
            retired = await self.scheduler_comm.retire_workers(workers=addresses, close_workers=False, remove=False)
        going = [name for name, some in where.items() if by_force or all(address in retired for address in some)]
        await asyncio.gather(*(in_thread(self._kill, name) for name in going))
        await self.refresh()
        return going

    def _kill(self, container: str) -> None:
        assert self.app is not None
        with contextlib.suppress(NotFound, RequestRefused):  # it has ended by itself
            self.app.kill_container(container)

    def adapt(self, Adaptive: type[Any] = KnitAdaptive, *, group: str | None = None, **options: Any) -> Any:
        """Scale one group by its work, between `minimum` and `maximum` containers; other groups do not change.

        Only one group at a time: another call replaces the adaptive scaling of the one before, as usual in Dask.

        Args:
            Adaptive: the class of the strategy.
            group: name of the group; by default the first.
            options: `minimum`, `maximum`, `interval`, `wait_count`, `target_duration`: see `distributed.Adaptive`.

        Raises:
            NotFound: there is no such group.
            ValueError: a group is given, but the strategy does not support groups.
        """
        name = self.group_named(group)
        if self.status == Status.created and not self.asynchronous:
            self.sync(self._start)
        if issubclass(Adaptive, KnitAdaptive):
            options["group"] = name
        elif group is not None:
            raise ValueError(f"{Adaptive.__name__} does not support groups: derive it from KnitAdaptive")
        return Cluster.adapt(self, Adaptive=Adaptive, **options)

    async def _wait_for_workers(self, n_workers: int = 0, timeout: Any = None) -> None:
        await self._start()
        waiting = asyncio.ensure_future(Cluster._wait_for_workers(self, n_workers, timeout))
        while not (await asyncio.wait({waiting}, timeout=1.0))[0]:
            if self._result is not None:
                waiting.cancel()
                self._raise_ended()
            if self._census.failed and not self._census.wanted:
                waiting.cancel()
                raise KnitError(
                    f"All workers of {self.name} have finally failed. {await in_thread(self._last_failure)}"
                )
        await waiting

    def _last_failure(self) -> str:
        assert self.app is not None
        rows = [row for row in self.app.containers() if row.id in self._census.failed and row.exit_code is not None]
        return f"{rows[-1].id} exited with {rows[-1].exit_code}: {rows[-1].diagnostics}" if rows else ""

    # -- the interface of knit 0.2.4 ---------------------------------------------------

    def start(
        self,
        n_workers: int = 1,
        cpus: int | None = None,
        memory: int | str | None = None,
        *,
        nworkers: int | None = None,
        checks: bool = True,
    ) -> Any:
        """Launch the cluster, as in knit 0.2.4; returns the application's id.

        Args:
            n_workers (or nworkers): number of containers with workers.
            cpus, memory: of each container; memory in MiB or as a text.
            checks: whether queue and sizes are checked first.

        Raises:
            ValueError: the cluster was started before.
        """
        if self.app is not None:
            raise ValueError(f"This Dask cluster was started before: it is {self.app.id}")
        self._layout = self._layout.sized(n_workers if nworkers is None else nworkers, cpus, memory)
        self._fields["checks"] = checks
        return self._do(self._started)

    async def _started(self) -> str:
        await self._start()
        return self.name if self.app is None else self.app.id

    def add_workers(self, n_workers: int = 1) -> Any:
        """Add `n_workers` containers."""
        return self._do(self._add, n_workers)

    async def _add(self, n_workers: int) -> None:
        await self._start()
        await self._scale(len((await self.refresh()).of_group(self.group_named(None))) + n_workers, None)

    def remove_worker(self, container: str) -> Any:
        """Give one container back, by Knit's name, YARN's id or the worker's name; its data is moved before.

        Raises:
            NotFound: there is no such container.
        """
        return self._do(self._remove, container)

    async def _remove(self, container: str) -> None:
        census = await self.refresh()
        name = census.yarn.get(container, container_of(container))
        if name not in census.wanted:
            raise NotFound(f"{self.name} has no worker {container!r}; there are: {', '.join(sorted(census.wanted))}")
        async with self._changing:
            await self._end([name], by_force=True)

    def _do(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """The result of a coroutine function; in asynchronous mode a task, which runs even if it is not awaited."""
        if self.status == Status.closed:
            self._raise_ended()
        if self.asynchronous:
            return asyncio.ensure_future(function(*arguments))
        return self.sync(function, *arguments)


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Run a blocking call in a thread."""
    return await asyncio.to_thread(function, *arguments)
