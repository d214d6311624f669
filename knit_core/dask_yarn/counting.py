"""Counts the containers of workers, and selects containers to give back. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from knit_core.model.result import Container
from knit_core.model.states import ContainerState

_NAME = re.compile(r"(?P<container>[a-z][a-z0-9-]*_[0-9]+)(\.[0-9]+)?(-[0-9]+)?")


def container_of(worker: object) -> str | None:
    """Knit's name of the container that a Dask worker runs in, from the worker's name; None for a worker from elsewhere.

    `worker_3` is the first attempt of the container, `worker_3.2` the second; `worker_3-1` the second process in it.
    """
    found = _NAME.fullmatch(str(worker))
    return found["container"] if found else None


@dataclass(frozen=True)
class Census:
    """The workers' containers at one time.

    Attributes:
        wanted: current and future containers; includes instances between two attempts, not those that are being ended.
        failed: instances that have finally failed, without another restart.
        groups: group (service) of each wanted container.
        yarn: Knit's name by YARN's container id, for wanted containers with an id.
    """

    wanted: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    groups: Mapping[str, str] = field(default_factory=dict)
    yarn: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[Container], groups: Iterable[str]) -> Census:
        """From the ApplicationMaster's list of containers, which includes ended attempts.

        Args:
            rows: all containers.
            groups: services that are groups of workers.
        """
        mine = set(groups)
        newest: dict[str, Container] = {}
        for row in rows:
            if row.service in mine and (row.id not in newest or row.attempt >= newest[row.id].attempt):
                newest[row.id] = row
        gone = {ContainerState.STOPPING, ContainerState.KILLED, ContainerState.SUCCEEDED, ContainerState.FAILED}
        wanted = {name: row for name, row in newest.items() if row.state not in gone}
        return cls(
            frozenset(wanted),
            frozenset(name for name, row in newest.items() if row.state is ContainerState.FAILED),
            {name: row.service for name, row in wanted.items()},
            {row.yarn: name for name, row in wanted.items() if row.yarn},
        )

    def of_group(self, group: str) -> frozenset[str]:
        """The wanted containers of one group."""
        return frozenset(name for name in self.wanted if self.groups[name] == group)


def surplus(wanted: Iterable[str], arrived: Iterable[str], closable: Iterable[str], count: int) -> list[str]:
    """The `count` containers to give back: first those without a worker, then those that the scheduler can spare, then
    those with the highest numbers.

    Args:
        wanted: current and future containers.
        arrived: containers whose workers are known to the scheduler.
        closable: containers that the scheduler can spare, best first.
        count: how many to give back.
    """
    here, known = set(wanted), set(arrived)
    pending = sorted((name for name in here if name not in known), key=_rank, reverse=True)
    idle = [name for name in closable if name in here and name in known]
    rest = sorted((name for name in here if name in known and name not in idle), key=_rank, reverse=True)
    return list(dict.fromkeys([*pending, *idle, *rest]))[: max(count, 0)]


def whole(names: Iterable[object], observed: Iterable[object]) -> list[str]:
    """Containers whose processes are all in `names`: only a whole container can be given back.

    Args:
        names: workers (processes) that the scheduler can spare.
        observed: all workers that are known to the scheduler.
    """
    spare = {str(name) for name in names}
    processes: dict[str, set[str]] = {}
    for name in observed:
        container = container_of(name)
        if container is not None:
            processes.setdefault(container, set()).add(str(name))
    found = (container_of(name) for name in dict.fromkeys(map(str, names)))
    return list(dict.fromkeys(c for c in found if c is not None and processes.get(c, {""}) <= spare))


def containers_for(workers: int, processes: int) -> int:
    """Number of containers for a number of workers."""
    return math.ceil(workers / processes)


def fits(needs: Mapping[str, float], has: Mapping[str, float]) -> bool:
    """Whether a worker with the abstract resources `has` can run a task that needs `needs`."""
    return all(has.get(name, 0) >= amount for name, amount in needs.items())


def _rank(name: str) -> tuple[int, str]:
    return int(name.rpartition("_")[2]), name
