"""Adaptive scaling by YARN's containers: pending containers count, dead ones are not counted twice."""

from __future__ import annotations

import logging
from typing import Any

from distributed import Adaptive

from knit_core.dask_yarn.counting import container_of, containers_for, fits, whole
from knit_core.errors import KnitError

logger = logging.getLogger(__name__)


class KnitAdaptive(Adaptive):  # type: ignore[misc]
    """`distributed.Adaptive` whose workers are containers of one group.

    `plan` has all current and future containers of the ApplicationMaster: those that wait for resources of the queue, and
    replacements of dead and preempted ones, are not requested again. When scaling down, containers without a worker are
    given back first; others only if the scheduler can spare them and has moved their data.

    Dask computes how many workers the work needs, but not of which group. With several groups, this one adds the missing
    number of workers, gives back its own idle ones, and keeps one as long as there are tasks that no worker can run and for
    which its resources suffice.

    Args:
        cluster: the DaskYARNCluster.
        group: name of the group; None for the first one.
        options: `minimum`, `maximum` … of `distributed.Adaptive`.
    """

    def __init__(self, cluster: Any, group: str | None = None, **options: Any) -> None:
        self.group: str = cluster.group_named(group)
        super().__init__(cluster, **options)

    @property
    def plan(self) -> set[str]:
        """Current and future containers."""
        return set(self.cluster.containers_of(self.group))

    @property
    def requested(self) -> set[str]:
        """The same as `plan`: the ApplicationMaster keeps all requests."""
        return self.plan

    @property
    def observed(self) -> set[str]:
        """Containers whose workers are known to the scheduler."""
        return self.plan & {str(container_of(name)) for name in self.cluster.worker_names}

    async def adapt(self) -> None:
        """Count containers, then scale once."""
        try:
            await self.cluster.refresh()
        except (KnitError, OSError) as error:
            logger.info("Adaptive scaling pauses: %s", error)  # for example, the ApplicationMaster is being restarted
            return
        await super().adapt()

    async def target(self) -> int:
        """Number of containers for the scheduler's work."""
        wanted: int = await super().target()
        names, mine = self.cluster.worker_names, self._mine
        if len(mine) == len(names):
            return containers_for(wanted, self._processes)
        change = wanted - len(names)
        if change <= 0:
            change = -len(self._of_mine(await self._idle()))
        found = containers_for(max(len(mine) + change, 0), self._processes)
        return found or int(await self._needed())

    async def workers_to_close(self, target: int) -> list[str]:
        """Containers that the scheduler can spare, until `target` are left."""
        if len(self._mine) == len(self.cluster.worker_names):
            names = await self._idle(target=target * self._processes)
        else:
            names = await self._idle()
        spare = [name for name in whole(names, self.cluster.worker_names) if name in self.plan]
        return spare[: max(len(self.observed) - target, 0)]

    async def scale_down(self, workers: list[str]) -> None:
        """Retire the workers, then give the containers back; containers whose data cannot be moved stay."""
        await self.cluster.retire(workers)

    async def scale_up(self, n: int) -> None:
        """Request containers until there are `n`."""
        await self.cluster.scale(n, group=self.group)

    @property
    def _processes(self) -> int:
        return int(self.cluster.groups[self.group].get("processes", 1))

    @property
    def _mine(self) -> list[str]:
        """Workers of this group that are known to the scheduler."""
        return self._of_mine(self.cluster.worker_names)

    def _of_mine(self, names: list[str]) -> list[str]:
        here = self.plan
        return [name for name in names if container_of(name) in here]

    async def _idle(self, **limit: Any) -> list[str]:
        """Workers that the scheduler can spare, by name."""
        found = await self.scheduler.workers_to_close(attribute="name", **limit, **self._workers_to_close_kwargs)
        return [str(name) for name in found]

    async def _needed(self) -> bool:
        """Whether there are tasks that no worker can run, but a worker of this group could."""
        has = self.cluster.groups[self.group].get("resources", {})
        return any(fits(needs, has) for needs in await self.scheduler.knit_unrunnable())
