"""Looks at the queue."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from knit_core.facts import ClusterFacts, Queue
from knit_core.spec import ApplicationSpec


def queue_problems(wanted: str, queues: Sequence[Queue], address: str) -> Iterator[str]:
    """What is wrong with a queue's name; nothing when the cluster does not tell its queues."""
    if not queues:
        return
    match = _matches(wanted, queues)
    leaves = sorted(queue.name for queue in queues if queue.leaf)
    if not match:
        near = difflib.get_close_matches(wanted, leaves, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        yield f"There is no queue {wanted!r} at {address}; {hint}it has: {', '.join(leaves)}."
    elif not any(queue.leaf for queue in match):
        below = sorted(queue.name for queue in queues if queue.path.startswith(match[0].path + ".") and queue.leaf)
        yield f"The queue {wanted!r} only holds other queues; submit to one of: {', '.join(below)}."
    elif not any(queue.running for queue in match):
        yield f"The queue {wanted!r} is stopped: it takes no applications now."


def queue_of(spec: ApplicationSpec, facts: ClusterFacts) -> Queue | None:
    """The queue that the application goes to; None when it is not known for sure."""
    match = [queue for queue in _matches(spec.queue or facts.default_queue, facts.queues) if queue.leaf]
    return match[0] if len(match) == 1 else None


def _matches(wanted: str, queues: Sequence[Queue]) -> list[Queue]:
    return [queue for queue in queues if wanted in (queue.name, queue.path, f"root.{queue.path}")]
