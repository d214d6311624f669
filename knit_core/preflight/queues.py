"""Checks the queue, with the names that YARN accepts.

The Fair Scheduler takes every name relative to root, and creates a queue that is not there. The Capacity Scheduler takes the
full path or the last part, if only one queue has it (before Hadoop 3.4: the last part only), and creates queues only below
parents for which that is enabled. Where the cluster's rules may choose another queue, YARN alone can judge a name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from knit_core.model.cluster_facts import ClusterFacts, Queue
from knit_core.spec import ApplicationSpec

_LISTED = 20  # queues in one message


def queue_problems(wanted: str, queues: Sequence[Queue], address: str, *, made: bool = True) -> Iterator[str]:
    """Problems of a queue's name; none when the scheduler does not report its queues.

    Args:
        wanted: the name.
        queues: all queues that the scheduler reports.
        address: of the ResourceManager, for messages.
        made: whether YARN may create the queue now, as for a launch.
    """
    if not queues:
        return
    match = _matches(wanted, queues)
    leaves = [queue for queue in match if queue.leaf]
    if not match:
        if not (made and _is_created(wanted, queues)):
            yield f"There is no queue {wanted!r} at {address}; {_choice(wanted, queues)}{_created_below(wanted, queues, made)}"
    elif not leaves:
        yield f"The queue {wanted!r} only contains other queues; {_below(match[0], queues, made)}"
    elif len(leaves) > 1:
        yield f"The name {wanted!r} means several queues; give the path: {', '.join(sorted(each.path for each in leaves))}."
    elif not leaves[0].running:
        yield f"The queue {wanted!r} is stopped{_stopped(leaves[0], queues)}"


def certain_problems(spec: ApplicationSpec, facts: ClusterFacts, address: str) -> list[str]:
    """Problems for which YARN would certainly refuse the application: it names the queue, and no rule chooses another."""
    if not is_named(spec, facts) or facts.features.placement:
        return []
    return list(queue_problems(_wanted(spec, facts), facts.queues, address))


def queue_warnings(spec: ApplicationSpec, facts: ClusterFacts, address: str) -> Iterator[str]:
    """Warnings about a queue that YARN may create, refuse or replace.

    Args:
        spec: what to run.
        facts: about the cluster.
        address: of the ResourceManager, for messages.
    """
    wanted, queues = _wanted(spec, facts), facts.queues
    if not queues:
        return
    problems = list(queue_problems(wanted, queues, address))
    if not is_named(spec, facts):
        for problem in problems:
            yield f"no queue was named; if the cluster's placement rules choose none, YARN refuses the application: {problem}"
        return
    if facts.features.placement:
        for problem in problems:
            yield f"if the cluster's placement rules choose no other queue, YARN refuses the application: {problem}"
    if problems:
        return
    match, parent = _matches(wanted, queues), _ancestor(wanted, queues)
    if match:
        if parent is not None and parent.by_mapping:
            yield (
                f"YARN creates the queues below {parent.path} for its queue mappings, and may refuse applications that "
                f"name {wanted!r}: name no queue, and the mappings choose it"
            )
    elif parent is not None and parent.by_mapping:
        yield (
            f"there is no queue {wanted!r} at {address} yet: YARN creates queues below {parent.path} only where its queue "
            "mappings place an application; name no queue, and they choose it"
        )
    else:
        yield (
            f"there is no queue {wanted!r} at {address} yet, YARN may create it, or refuse the application; "
            f"{_choice(wanted, queues)}"
        )


def is_named(spec: ApplicationSpec, facts: ClusterFacts) -> bool:
    """Whether the specification or the configuration names the application's queue."""
    return bool(spec.queue) or facts.default_queue != "default"


def submitted_name(spec: ApplicationSpec, facts: ClusterFacts) -> str | None:
    """The queue for the submission, by a name that YARN accepts; None when none is named.

    YARN then takes "default", and its placement rules may choose another queue.
    """
    return accepted_name(_wanted(spec, facts), facts.queues) if is_named(spec, facts) else None


def accepted_name(wanted: str, queues: Sequence[Queue]) -> str:
    """The name by which YARN finds a queue; `wanted` when it is not certain which queue is meant."""
    leaves = [queue for queue in _matches(wanted, queues) if queue.leaf]
    if len(leaves) != 1 or leaves[0].by_path:
        return wanted
    (queue,) = leaves
    if queue.by_name:
        return queue.name
    alone = sum(other.name == queue.name for other in queues) == 1  # parents count, too
    return wanted if wanted == queue.name and alone else queue.path


def queue_of(spec: ApplicationSpec, facts: ClusterFacts) -> Queue | None:
    """The queue of the application; None when it is not certain."""
    if facts.features.placement:
        return None
    match = [queue for queue in _matches(_wanted(spec, facts), facts.queues) if queue.leaf]
    return match[0] if len(match) == 1 else None


def _wanted(spec: ApplicationSpec, facts: ClusterFacts) -> str:
    return spec.queue or facts.default_queue


def _matches(wanted: str, queues: Sequence[Queue]) -> list[Queue]:
    """The queues that a name means: by its path, with or without "root", else by the last part (Capacity Scheduler)."""
    exact = [queue for queue in queues if queue.path == wanted]
    if exact or "." in wanted or _is_fair(queues):
        return exact or [queue for queue in queues if queue.path == f"root.{wanted}"]
    return [queue for queue in queues if queue.name == wanted]


def _is_fair(queues: Sequence[Queue]) -> bool:
    return any(queue.by_path for queue in queues)


def _ancestor(wanted: str, queues: Sequence[Queue]) -> Queue | None:
    """The lowest existing queue above the one that a name means; None when the name has no parent, or an ambiguous one."""
    match = _matches(wanted, queues)
    path = match[0].path if match else wanted
    if _is_fair(queues) and path != "root" and not path.startswith("root."):
        path = f"root.{path}"
    while "." in path:
        path = path.rpartition(".")[0]
        if above := _matches(path, queues):
            return above[0] if len(above) == 1 else None
    return None


def _is_created(wanted: str, queues: Sequence[Queue]) -> bool:
    """Whether YARN may create a queue that is not there.

    The Fair Scheduler does so even below a queue that takes applications, as long as it has none. Only the allocation file
    can forbid it, and clients cannot read that file.
    """
    parent = _ancestor(wanted, queues)
    return _is_fair(queues) or (parent is not None and parent.makes)


def _created_below(wanted: str, queues: Sequence[Queue], made: bool) -> str:
    parents = [queue.path for queue in queues if queue.makes and not queue.by_mapping] if made else []
    if not parents or "." in wanted:
        return ""
    return f" YARN creates queues below {', '.join(sorted(parents)[:_LISTED])}: use {sorted(parents)[0]}.{wanted}."


def _below(parent: Queue, queues: Sequence[Queue], made: bool) -> str:
    below = sorted(
        queue.path for queue in queues if queue.path.startswith(f"{parent.path}.") and queue.leaf and queue.running
    )
    parts = [f"submit to one of: {_listed(below)}"] if below else []
    if parent.by_mapping:
        parts.append("YARN creates queues below it where its queue mappings place an application: name no queue")
    elif parent.makes and made:
        parts.append(f"YARN creates queues below it: use {parent.path}.<name>")
    return f"{'; '.join(parts) or 'it has none that accept applications'}."


def _stopped(queue: Queue, queues: Sequence[Queue]) -> str:
    if queue.state == "DRAINING":
        words = " (DRAINING): its applications run to their end, and it accepts no new ones"
    else:
        words = ": it accepts no applications now"
    others = sorted(each.path for each in queues if each.leaf and each.running)
    return f"{words}; an administrator can start it{f', or use another queue: {_listed(others)}' if others else ''}."


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else ""
    return ", ".join(paths[:_LISTED]) + more


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
    return f"{hint}it has: {_listed(sorted(leaves)) or 'none'}."
