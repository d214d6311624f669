"""Looks at the queue."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from knit_core.model.cluster_facts import ClusterFacts, Queue
from knit_core.spec import ApplicationSpec


def queue_problems(
    wanted: str, queues: Sequence[Queue], address: str, *, named: bool = True, made: bool = True
) -> Iterator[str]:
    """What is wrong with a queue's name; nothing when the cluster does not tell its queues.

    Args:
        wanted: the name.
        queues: all that the scheduler tells of.
        address: of the ResourceManager, for messages.
        named: somebody named it; False: it is what Knit sends when nobody did, and the cluster's placement rules may
            put the application elsewhere.
        made: whether YARN may make it now, as it does for a launch.
    """
    if not queues:
        return
    match = _matches(wanted, queues)
    if not match:
        if named and not (made and _maker(wanted, queues)):
            yield f"There is no queue {wanted!r} at {address}; {_choice(wanted, queues)}"
    elif not any(queue.leaf for queue in match):
        yield f"The queue {wanted!r} only holds other queues; {_below(match[0], queues)}"
    elif not any(queue.running for queue in match):
        yield f"The queue {wanted!r} is stopped: it takes no applications now."


def queue_remarks(wanted: str, queues: Sequence[Queue], address: str, *, named: bool) -> Iterator[str]:
    """What may surprise in a queue's name that is not refused; arguments as in `queue_problems`."""
    if not queues or _matches(wanted, queues):
        return
    if not named:
        yield (
            f"no queue was named, and there is no {wanted!r} at {address}: its placement rules decide where the "
            f"application goes, if it has any ({_choice(wanted, queues)})"
        )
    elif _maker(wanted, queues):
        yield f"there is no queue {wanted!r} at {address} yet, YARN may make it; {_choice(wanted, queues)}"


def is_named(spec: ApplicationSpec, facts: ClusterFacts) -> bool:
    """Whether the application's queue was named by anybody."""
    return bool(spec.queue) or facts.default_queue != "default"


def queue_of(spec: ApplicationSpec, facts: ClusterFacts) -> Queue | None:
    """The queue that the application goes to; None when it is not known for sure."""
    match = [queue for queue in _matches(spec.queue or facts.default_queue, facts.queues) if queue.leaf]
    return match[0] if len(match) == 1 else None


def _matches(wanted: str, queues: Sequence[Queue]) -> list[Queue]:
    return [
        queue
        for queue in queues
        if wanted in (queue.path, f"root.{queue.path}", queue.path.removeprefix("root."))
        or (wanted == queue.name and not queue.by_path)
    ]


def _maker(wanted: str, queues: Sequence[Queue]) -> bool:
    """Whether the nearest queue above it that is there makes those below it."""
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
        parts.append(f"YARN makes queues below it: name one, as {parent.path}.<name>")
    return f"{'; '.join(parts) or 'and it has none'}."


def _choice(wanted: str, queues: Sequence[Queue]) -> str:
    """The queues that there are, as one may name them."""
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
