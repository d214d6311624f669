"""Why YARN refused an application because of its queue, in words with a remedy. Pure.

YARN accepts a submission before it looks for the queue, and tells the refusal in the application's diagnostics; the lack of a
permission it tells at once. The patterns are the words of Hadoop 3.3 to 3.5 (RMAppManager, CapacityScheduler, FairScheduler,
the placement rules).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from knit_core.model.cluster_facts import Queue
from knit_core.model.representation import shown

_LISTED = 20  # queues in one message


@shown
@dataclass(frozen=True)
class QueueRefusal:
    """Why YARN refused an application because of its queue.

    Attributes:
        text: the reason, a sentence without full stop.
        advice: what to do.
        permission: whether the user lacks the permission to submit.
    """

    text: str
    advice: str
    permission: bool = False


def refusal_of(words: str, queues: Sequence[Queue] = ()) -> QueueRefusal | None:
    """The refusal that YARN's words tell; None when they tell of another fault than that of a queue.

    Args:
        words: an application's diagnostics, or the error of its submission.
        queues: all queues, if known, for the property that gives the permission and for other queues to use.
    """
    for pattern, explain in _REFUSALS:
        if found := pattern.search(words):
            return explain(found, queues)
    return None


def _permission(found: re.Match[str], queues: Sequence[Queue]) -> QueueRefusal:
    user, path = found["user"], _path(found["queue"], queues)
    # The Fair Scheduler names the queue whose ACL decided, which is the nearest one above that is there.
    decided = found.groupdict().get("denied")
    by = f" (the ACL of {_clean(decided)} decides)" if decided and _clean(decided) != path else ""
    capacity = f"yarn.scheduler.capacity.{path}.acl_submit_applications"
    fair = f"<aclSubmitApps> of the queue {_clean(decided) if decided else path} in the allocation file"
    known = [fair if any(queue.by_path for queue in queues) else capacity] if queues else [capacity]
    places = f"{known[0]}, or the same of a queue above it" if queues else f"{capacity}; Fair Scheduler: {fair}"
    return QueueRefusal(
        f"the user {user} may not submit applications to the queue {path}{by}",
        f"an administrator can give {user} or one of their groups that right ({places}); or use another queue"
        f"{_others(path, queues)}",
        permission=True,
    )


def _unknown(found: re.Match[str], queues: Sequence[Queue]) -> QueueRefusal:
    name = _clean(found["queue"])
    return QueueRefusal(
        f"there is no queue {name!r}, and YARN does not create it", f"use another queue{_others(name, queues)}"
    )


def _ambiguous(found: re.Match[str], queues: Sequence[Queue]) -> QueueRefusal:
    name = _clean(found["queue"])
    paths = sorted(queue.path for queue in queues if queue.leaf and queue.name == name)
    listed = f": {', '.join(paths)}" if paths else ""
    return QueueRefusal(f"several queues have the name {name!r}", f"give the queue's path{listed}")


def _parent(found: re.Match[str], queues: Sequence[Queue]) -> QueueRefusal:
    path = _path(found["queue"], queues)
    below = sorted(queue.path for queue in queues if queue.leaf and queue.path.startswith(f"{path}."))
    listed = f": {', '.join(below[:_LISTED])}" if below else f", {path}.<name>"
    return QueueRefusal(f"the queue {path} only contains other queues", f"use a queue below it{listed}")


def _stopped(found: re.Match[str], queues: Sequence[Queue]) -> QueueRefusal:
    path = _path(found["queue"], queues)
    return QueueRefusal(
        f"the queue {path} is stopped, or one above it is",
        f"use another queue{_others(path, queues)}, or ask an administrator to start it",
    )


def _full(found: re.Match[str], queues: Sequence[Queue]) -> QueueRefusal:
    path = _path(found["queue"], queues)
    return QueueRefusal(
        f"the queue {path} has as many applications as it may have ({found['count']})",
        f"wait until some have ended (knit list --queue {path.rpartition('.')[2]}), or use another queue{_others(path, queues)}",
    )


def _by_rules(_found: re.Match[str], _queues: Sequence[Queue]) -> QueueRefusal:
    return QueueRefusal(
        "the cluster's placement rules have no queue for it",
        "name a queue that the rules allow for this user, or name none; an administrator knows the rules",
    )


def _mapped_only(found: re.Match[str], queues: Sequence[Queue]) -> QueueRefusal:
    return QueueRefusal(
        f"the queue {_path(found['queue'], queues)} is only for applications that a queue mapping places there",
        "name no queue, and the mappings (yarn.scheduler.capacity.queue-mappings) choose it",
    )


def _invalid(found: re.Match[str], _queues: Sequence[Queue]) -> QueueRefusal:
    return QueueRefusal(
        f"{found['queue']!r} is not a valid name of a queue",
        "a name has parts with a dot between, as root.teams.science",
    )


def _clean(name: str) -> str:
    """A queue's name without the punctuation of the sentence around it."""
    return name.rstrip(".,;:")


def _path(name: str, queues: Sequence[Queue]) -> str:
    """A queue's path, as far as it can be told from a name."""
    name = _clean(name)
    if name == "root" or name.startswith("root."):
        return name
    fair = any(queue.by_path for queue in queues)
    paths = [queue.path for queue in queues if not fair and queue.name == name]
    return paths[0] if len(paths) == 1 else f"root.{name}"


def _others(path: str, queues: Sequence[Queue]) -> str:
    others = sorted(queue.path for queue in queues if queue.leaf and queue.running and queue.path != path)
    return f" ({', '.join(others[:_LISTED])})" if others else ""


_Explanation = Callable[[re.Match[str], Sequence[Queue]], QueueRefusal]
_REFUSALS: tuple[tuple[re.Pattern[str], _Explanation], ...] = tuple(
    (re.compile(pattern), explain)
    for pattern, explain in (
        (
            r"User (?P<user>\S+) does not have permission to submit .{0,200}?to queue (?P<queue>\S+)"
            r"(?: denied by ACL for queue (?P<denied>\S+))?",
            _permission,
        ),
        (
            r"User (?P<user>\S+) cannot submit applications to target queue or the target queue doesn't exist: (?P<queue>\S+)",
            _permission,
        ),
        (r"submitted by user \S+ to unknown queue: (?P<queue>\S+)", _unknown),
        (r"submitted by user \S+ to ambiguous queue: (?P<queue>\S+)", _ambiguous),
        (r"to (?:parent-queue|non-leaf queue) ?: ?(?P<queue>\S+)", _parent),
        (r"(?:^|\s)(?P<queue>(?!or )\S+) is not a leaf queue", _parent),
        (r"Queue (?P<queue>\S+) is STOPPED", _stopped),
        (r"Queue (?P<queue>\S+) already has (?P<count>\d+) applications", _full),
        (r"rejected by (?:placement rules|a mapping rule)", _by_rules),
        (r"to specified queue ?: ?(?P<queue>\S+) +is prohibited", _mapped_only),
        (r"with illegal queue name '(?P<queue>[^']*)'", _invalid),
    )
)

__all__ = ["QueueRefusal", "refusal_of"]
