"""Queues in the scheduler's reply: their tree, what each accepts, and the resources that it could still allocate. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from knit_core.model.cluster_facts import Queue
from knit_core.model.lenient_json import inside, number, rows, texts
from knit_core.model.representation import shown

_CAPACITY = "capacityScheduler"


def queue_name_problem(name: str) -> str:
    """Why a text cannot be the name of a queue; empty when it can.

    YARN checks names so late that a Fair Scheduler ends with the whole ResourceManager (QueueManager.isQueueNameValid).
    """
    if all(part and part == part.strip() for part in name.split(".")) and name.isprintable():
        return ""
    return f"{name!r} is not a valid name of a queue: it has an empty part, or spaces around one"


def scheduler_info(reply: Any) -> Mapping[str, Any]:
    """`schedulerInfo` of a reply, or that of the only cluster of a federation. Empty when there is none."""
    parts = rows(reply, "subCluster")
    found = inside(parts[0] if len(parts) == 1 else reply, *([] if parts else ["scheduler"]), "schedulerInfo")
    return found if isinstance(found, Mapping) else {}


def queues_of(scheduler: Mapping[str, Any]) -> list[Queue]:
    """All queues of the Capacity or Fair Scheduler, parents first; none for FIFO.

    Args:
        scheduler: `schedulerInfo` of the reply.
    """
    fair = _type(scheduler) == "fairScheduler"
    tree = list(queue_tree(scheduler))
    # Before 3.4 the Capacity Scheduler finds queues by the last part of their path, and does not report the path.
    by_name = not any(row.get("queuePath") for _path, parent, row in tree if parent)
    return [_fair_queue(path, row) if fair else _queue(path, row, by_name) for path, _parent, row in tree]


def queue_tree(scheduler: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(path, parent's path, row) of every queue of the Capacity or Fair Scheduler, parents first; none for FIFO.

    Args:
        scheduler: `schedulerInfo` of the reply.
    """
    root = scheduler.get("rootQueue") or scheduler
    if "rootQueue" in scheduler or root.get("queues"):
        yield from _below(root, "")


def children_of(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The queues below one, in the format of either scheduler."""
    found = row.get("queues") or row.get("childQueues")
    return rows(found) if isinstance(found, list) else rows(found, "queue")


@shown
@dataclass(frozen=True)
class QueueHeadroom:
    """The resources that a queue could still allocate.

    Attributes:
        queue: its path, "root.teams.science".
        memory, vcores: MiB and cores that are free in the queue, in every queue above it and in the cluster, less the
            pending requests of the queue's applications. Never negative.
        running: whether it accepts applications.
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
    """The headroom of every queue of the Capacity or Fair Scheduler.

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
            pending = (0, 0) if children_of(row) else _pending(row)
            running = (row.get("state") or "RUNNING") == "RUNNING"
            found.append(QueueHeadroom(path, max(0, least[0] - pending[0]), max(0, least[1] - pending[1]), running))
    return found


def headroom_in(headrooms: list[QueueHeadroom], queue: str) -> QueueHeadroom | None:
    """The headroom of one queue; None when there is no such queue.

    Args:
        headrooms: of all queues.
        queue: its path, or the last part of it.
    """
    path = queue if queue == "root" or queue.startswith("root.") else f"root.{queue}"
    by_path = [each for each in headrooms if each.queue == path]
    by_name = [each for each in headrooms if each.name == queue]
    return next(iter(by_path or by_name), None)


def _type(row: Mapping[str, Any]) -> str:
    return str(row.get("type") or row.get("@type") or "")


def _is_leaf(row: Mapping[str, Any]) -> bool:
    """Parents, empty ones too, have no type of their own."""
    return not children_of(row) and _type(row) not in {"", _CAPACITY} and row.get("queueType") != "parent"


def _fair_queue(path: str, row: Mapping[str, Any]) -> Queue:
    """The Fair Scheduler reports neither states nor ACLs, and an undeclared queue only once an application has used it."""
    leaf, most = _is_leaf(row), row.get("maxContainerAllocation") or {}
    return Queue(
        path.rpartition(".")[2],
        path,
        leaf,
        True,
        memory=number(most.get("memory")),
        vcores=number(most.get("vCores")),
        makes=not leaf,
        by_path=True,
    )


def _queue(path: str, row: Mapping[str, Any], by_name: bool) -> Queue:
    name, leaf, state = path.rpartition(".")[2], _is_leaf(row), str(row.get("state") or "")
    running = state in {"", "RUNNING"}
    # autoCreationEligibility: off, legacy (auto-create-child-queue) or flexible (auto-queue-creation-v2); since 3.4.
    kind = str(row.get("autoCreationEligibility") or "")
    legacy = kind == "legacy" or (not kind and str(row.get("autoCreateChildQueueEnabled")).lower() == "true")
    makes = not leaf and (legacy or kind not in {"", "off"})
    if not _type(row).startswith(_CAPACITY):
        return Queue(name, path, leaf, running, makes=makes, by_name=by_name, by_mapping=makes and legacy, state=state)
    most = row.get("maximumAllocation") or {}
    return Queue(
        name,
        path,
        leaf,
        running,
        labels=tuple(texts(row, "nodeLabels")),
        shares={
            str(part["partitionName"]): float(part.get("absoluteMaxCapacity", 100))
            for part in rows(row, "capacities", "queueCapacitiesByPartition")
        },
        lifetime=max(number(row.get("maxApplicationLifetime")), 0),
        memory=number(most.get("memory")),
        vcores=number(most.get("vCores")),
        makes=makes,
        by_name=by_name,
        by_mapping=makes and legacy,
        state=state,
    )


def _below(row: Mapping[str, Any], parent: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    name = str(row.get("queueName") or "root")
    path = str(row.get("queuePath") or (name if not parent or "." in name else f"{parent}.{name}"))
    yield path, parent, row
    for child in children_of(row):
        yield from _below(child, path)


def _free(row: Mapping[str, Any]) -> tuple[int, int] | None:
    """The queue's own limit less what it uses; None when the scheduler does not report its limit."""
    most = _amount(
        row.get("maxEffectiveCapacity") or row.get("maxResources") or _partition(row, "effectiveMaxResource")
    )
    if most is None:
        return None
    total = _amount(row.get("clusterResources"))
    if total is not None:  # limits of the Fair Scheduler may exceed the cluster
        most = min(most[0], total[0]), min(most[1], total[1])
    used = _used(row)
    return most[0] - used[0], most[1] - used[1]


def _used(row: Mapping[str, Any]) -> tuple[int, int]:
    used = _amount(row.get("resourcesUsed") or row.get("usedResources"))
    if used is not None:
        return used
    below = [_used(child) for child in children_of(row)]  # the Capacity Scheduler does not report it for the root
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
