"""The scheduler's tree of queues, as the ResourceManager's `/ws/v1/cluster/scheduler` tells it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from knit_core.model.lenient_json import rows


def queue_tree(scheduler: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(path, parent's path, row) of every queue of the Capacity or Fair Scheduler, parents first; none for FIFO.

    Args:
        scheduler: `schedulerInfo` of the reply.
    """
    root = scheduler.get("rootQueue") or scheduler
    if "rootQueue" in scheduler or root.get("queues"):
        yield from _below(root, "")


def children_of(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The queues below one, as either scheduler writes them."""
    found = row.get("queues") or row.get("childQueues")
    return rows(found) if isinstance(found, list) else rows(found, "queue")


def _below(row: Mapping[str, Any], parent: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    name = str(row.get("queueName") or "root")
    path = str(row.get("queuePath") or (name if not parent or "." in name else f"{parent}.{name}"))
    yield path, parent, row
    for child in children_of(row):
        yield from _below(child, path)


__all__ = ["children_of", "queue_tree"]
