"""How much a queue could give now, from what the scheduler tells of all its queues. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from knit_core.model.lenient_json import rows
from knit_core.model.queue_tree import children_of, queue_tree
from knit_core.model.representation import shown


@shown
@dataclass(frozen=True)
class QueueHeadroom:
    """What a queue could still give.

    Attributes:
        queue: its path, "root.teams.science".
        memory, vcores: MiB and cores that neither it, nor a queue above it, nor the cluster has given away, less what
            the queue's applications have asked for and not been given. Never negative.
        running: whether it takes applications.
    """

    queue: str
    memory: int
    vcores: int
    running: bool = True

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.queue.rpartition(".")[2]


def headroom_of(scheduler: Mapping[str, Any]) -> list[QueueHeadroom]:
    """The room of every queue of the Capacity or Fair Scheduler.

    Args:
        scheduler: `schedulerInfo` of the ResourceManager's `/ws/v1/cluster/scheduler`.
    """
    found: list[QueueHeadroom] = []
    free: dict[str, tuple[int, int] | None] = {}  # by path
    for path, parent, row in queue_tree(scheduler):
        own, above = _free(row), free.get(parent)
        least = own if above is None else above if own is None else (min(own[0], above[0]), min(own[1], above[1]))
        free[path] = least
        if least is not None:
            waiting = (0, 0) if children_of(row) else _pending(row)
            running = (row.get("state") or "RUNNING") == "RUNNING"
            found.append(QueueHeadroom(path, max(0, least[0] - waiting[0]), max(0, least[1] - waiting[1]), running))
    return found


def headroom_in(rooms: list[QueueHeadroom], queue: str) -> QueueHeadroom | None:
    """The room of one queue, named as applications name it: by its path or its last part; None: there is none."""
    path = queue if queue == "root" or queue.startswith("root.") else f"root.{queue}"
    by_path = [each for each in rooms if each.queue == path]
    by_name = [each for each in rooms if each.name == queue]
    return next(iter(by_path or by_name), None)


def _free(row: Mapping[str, Any]) -> tuple[int, int] | None:
    """The queue's own limit less what it uses; None when the scheduler does not tell its limit."""
    most = _amount(
        row.get("maxEffectiveCapacity") or row.get("maxResources") or _partition(row, "effectiveMaxResource")
    )
    if most is None:
        return None
    total = _amount(row.get("clusterResources"))
    if total is not None:  # the Fair Scheduler's limits may be larger than the cluster
        most = min(most[0], total[0]), min(most[1], total[1])
    used = _used(row)
    return most[0] - used[0], most[1] - used[1]


def _used(row: Mapping[str, Any]) -> tuple[int, int]:
    used = _amount(row.get("resourcesUsed") or row.get("usedResources"))
    if used is not None:
        return used
    below = [_used(child) for child in children_of(row)]  # the Capacity Scheduler's root does not say
    return sum(each[0] for each in below), sum(each[1] for each in below)


def _pending(row: Mapping[str, Any]) -> tuple[int, int]:
    usages = rows(row, "resources", "resourceUsagesByPartition")
    found = [_amount(each.get("pending")) for each in usages if not each.get("partitionName")]
    return next((each for each in found if each is not None), (0, 0))


def _partition(row: Mapping[str, Any], key: str) -> Any:
    parts = rows(row, "capacities", "queueCapacitiesByPartition")
    return next((part.get(key) for part in parts if not part.get("partitionName")), None)


def _amount(value: Any) -> tuple[int, int] | None:
    if not isinstance(value, Mapping) or "memory" not in value:
        return None
    return int(value["memory"]), int(value.get("vCores") or 0)
