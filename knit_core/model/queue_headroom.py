"""How much a queue could give now, from what the scheduler tells of all its queues. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from knit_core.model.hadoop_json import rows
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


def rooms_of(scheduler: Mapping[str, Any]) -> list[QueueHeadroom]:
    """The room of every queue of the Capacity or Fair Scheduler.

    Args:
        scheduler: `schedulerInfo` of the ResourceManager's `/ws/v1/cluster/scheduler`.
    """
    root = scheduler.get("rootQueue") or scheduler
    found: list[QueueHeadroom] = []
    if root.get("queueName") or root.get("queues"):
        _walk(root, "", None, found)
    return found


def room_in(rooms: list[QueueHeadroom], queue: str) -> QueueHeadroom | None:
    """The room of one queue, named as applications name it: by its path or its last part; None: there is none."""
    path = queue if queue == "root" or queue.startswith("root.") else f"root.{queue}"
    by_path = [each for each in rooms if each.queue == path]
    by_name = [each for each in rooms if each.name == queue]
    return next(iter(by_path or by_name), None)


def _walk(row: Mapping[str, Any], parent: str, above: tuple[int, int] | None, found: list[QueueHeadroom]) -> None:
    name = str(row.get("queueName") or "root")
    path = str(row.get("queuePath") or (name if not parent or "." in name else f"{parent}.{name}"))
    own = _free(row)
    free = own if above is None else above if own is None else (min(own[0], above[0]), min(own[1], above[1]))
    children = children_of(row)
    if free is not None:
        waiting = (0, 0) if children else _pending(row)
        running = (row.get("state") or "RUNNING") == "RUNNING"
        found.append(QueueHeadroom(path, max(0, free[0] - waiting[0]), max(0, free[1] - waiting[1]), running))
    for child in children:
        _walk(child, path, free, found)


def children_of(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The queues below one, as either scheduler writes them."""
    found = row.get("queues") or row.get("childQueues")
    return rows(found) if isinstance(found, list) else rows(found, "queue")


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
