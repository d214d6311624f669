"""Adaptive scaling that asks YARN, not only Dask: what is pending counts, what died is not counted twice."""

from __future__ import annotations

import logging
from typing import Any

from distributed import Adaptive

from knit_core.dask_yarn.counting import containers_for, whole
from knit_core.errors import KnitError

logger = logging.getLogger(__name__)


class KnitAdaptive(Adaptive):  # type: ignore[misc]
    """`distributed.Adaptive` whose workers are containers.

    What is wanted (`plan`) is what the ApplicationMaster holds and will hold: containers that wait for room in the queue,
    and those that take the place of dead and preempted ones, are not asked for again. Going down, containers without a
    worker yet go first; others only when the scheduler can spare them and has moved their data away.
    """

    async def adapt(self) -> None:
        """One look and one step."""
        try:
            await self.cluster.refresh()
        except (KnitError, OSError) as error:
            logger.info("Adaptive scaling pauses: %s", error)  # its ApplicationMaster is being restarted, say
            return
        await super().adapt()

    async def target(self) -> int:
        """Containers that the scheduler's work needs."""
        return containers_for(await super().target(), self.cluster.processes)

    async def workers_to_close(self, target: int) -> list[str]:
        """Containers that the scheduler can spare, down to `target`."""
        per = self.cluster.processes
        names: list[Any] = await self.scheduler.workers_to_close(
            target=target * per, attribute="name", **self._workers_to_close_kwargs
        )
        here = self.cluster.plan
        return [name for name in whole(names, self.cluster.worker_names) if name in here]

    async def scale_down(self, workers: list[str]) -> None:
        """Retire their workers, then give the containers back; those whose data has no other place stay."""
        await self.cluster.retire(workers)

    async def scale_up(self, n: int) -> None:
        """Ask for containers until there are `n`."""
        await self.cluster.scale(n)
