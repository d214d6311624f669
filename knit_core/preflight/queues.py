"""Checks the queue."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from knit_core.model.cluster_facts import ClusterFacts, Queue
from knit_core.spec import ApplicationSpec


def queue_problems(
    wanted: str, queues: Sequence[Queue], address: str, *, named: bool = True, made: bool = True
) -> Iterator[str]:
    """Problems of a queue's name; none when the scheduler does not report its queues.

    Args:
        wanted: the name.
        queues: all queues that the scheduler reports.
        address: of the ResourceManager, for messages.
        named: whether the user or the configuration names the queue. False for Knit's default: then the cluster's placement
            rules may choose another queue.
        made: whether YARN may create the queue now, as for a launch.
    """
    if not queues:
        return
    match = _matches(wanted, queues)
    if not match:
        if named and not (made and _is_created(wanted, queues)):
            yield f"There is no queue {wanted!r} at {address}; {_choice(wanted, queues)}"
    elif not any(queue.leaf for queue in match):
        yield f"The queue {wanted!r} only contains other queues; {_below(match[0], queues)}"
    elif not any(queue.running for queue in match):
        yield f"The queue {wanted!r} is stopped: it accepts no applications now."


def queue_warnings(wanted: str, queues: Sequence[Queue], address: str, *, named: bool) -> Iterator[str]:
    """Warnings about a queue's name that is not refused; arguments as in `queue_problems`."""
    if not queues or _matches(wanted, queues):
        return
    if not named:
        yield (
            f"no queue was named, and there is no {wanted!r} at {address}: the cluster's placement rules, if any, "
            f"choose the queue ({_choice(wanted, queues)})"
        )
    elif _is_created(wanted, queues):
        yield f"there is no queue {wanted!r} at {address} yet, YARN may create it; {_choice(wanted, queues)}"


def is_named(spec: ApplicationSpec, facts: ClusterFacts) -> bool:
    """Whether the specification or the configuration names the application's queue."""
    return bool(spec.queue) or facts.default_queue != "default"


def queue_of(spec: ApplicationSpec, facts: ClusterFacts) -> Queue | None:
    """The queue of the application; None when it is not certain."""
    match = [queue for queue in _matches(spec.queue or facts.default_queue, facts.queues) if queue.leaf]
    return match[0] if len(match) == 1 else None


def _matches(wanted: str, queues: Sequence[Queue]) -> list[Queue]:
    return [
        queue
        for queue in queues
        if wanted in (queue.path, f"root.{queue.path}", queue.path.removeprefix("root."))
        or (wanted == queue.name and not queue.by_path)
    ]


def _is_created(wanted: str, queues: Sequence[Queue]) -> bool:
    """Whether YARN creates queues below the lowest existing queue above it."""
    by_path = {queue.path: queue for queue in queues}
    path = wanted if wanted == "root" or wanted.startswith("root.") else f"root.{wanted}"
    while "." in path:
        path = path.rpartition(".")[0]
        if path in by_path:
            return by_path[path].makes
    return False


def _below(parent: Queue, queues: Sequence[Queue]) -> str:
    below = sorted(queue.path for queue in queues if queue.path.startswith(f"{parent.path}.") and queue.leaf)
    parts = [f"submit to one of: {', '.join(below)}"] if below else []
    if parent.makes:
        parts.append(f"YARN creates queues below it: use {parent.path}.<name>")
    return f"{'; '.join(parts) or 'it has none that accept applications'}."


def _choice(wanted: str, queues: Sequence[Queue]) -> str:
    """A hint with the existing queues."""
    leaves = {queue.path: queue.name for queue in queues if queue.leaf}
    last = wanted.rpartition(".")[2]
    near = [path for path, name in leaves.items() if name == last]
    near = near or difflib.get_close_matches(wanted, leaves, n=1)
    near = near or [
        path for path, name in leaves.items() if name in difflib.get_close_matches(last, leaves.values(), n=1)
    ]
    hint = f"did you mean {near[0]!r}? " if near else ""
    more = f" and {len(leaves) - 20} more" if len(leaves) > 20 else ""
    return f"{hint}it has: {', '.join(sorted(leaves)[:20]) or 'none'}{more}."
