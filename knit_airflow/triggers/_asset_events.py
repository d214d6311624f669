"""What asset watchers watch for, as state machines without I/O: what is seen goes in, what is to be told comes out.

A watcher's memory is a small JSON object that outlives the triggerer. It is written twice for each thing that is told:
before ("firing"), so that after a death the next triggerer knows what may have been told already, and when Airflow has
stored the event. What comes again after a death in between says so (`again`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from knit_core.model.queue_headroom import QueueHeadroom
    from knit_core.model.report import ApplicationReport

#: Milliseconds for which an end may be shown late, by the times of other ends; what is older than that is over.
LATE = 600_000


class EndedApplications:
    """Applications that end, each told once.

    Those that had ended when the watcher saw the cluster for the first time are not told.

    Parameters:
        fits: whether an application is watched for.
        memory: what `state()` gave, in whichever triggerer; None: the watcher is new.
    """

    def __init__(self, fits: Callable[[ApplicationReport], bool], memory: Any = None) -> None:
        self._fits = fits
        kept = memory if isinstance(memory, Mapping) else {}
        since = kept.get("since")
        self._since: int | None = int(since) if since is not None else None
        self._told: dict[str, int] = {str(key): int(at) for key, at in (kept.get("told") or {}).items()}
        self._doubtful: dict[str, int] = {str(key): int(at) for key, at in (kept.get("firing") or {}).items()}
        self._firing: dict[str, int] = {}

    def on_list(self, reports: Iterable[ApplicationReport]) -> list[dict[str, Any]]:
        """Take a list in (the first one whole); returns the events that it means, in the order of the ends."""
        rows = list(reports)
        ended = [each for each in rows if each.ended and each.finished_at is not None and self._fits(each)]
        ended.sort(key=lambda each: (each.finished_at, each.id))
        if self._since is None:
            clock = max((max(each.finished_at or 0, each.started_at or 0) for each in rows), default=0)
            self._since = max(0, clock - LATE)
            self._told = {each.id: at for each in ended if (at := each.finished_at or 0) >= self._since}
            return []
        # After a death the first list is whole: what is not in it will not come again.
        listed = {each.id for each in ended}
        self._doubtful = {key: at for key, at in self._doubtful.items() if key in listed or key in self._firing}
        found = []
        for each in ended:
            at = each.finished_at or 0
            if at >= self._since and each.id not in self._told and each.id not in self._firing:
                self._firing[each.id] = at
                found.append({**_facts(each), "again": each.id in self._doubtful})
        return found

    def stored(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Airflow has these events."""
        for event in events:
            app_id = str(event["application_id"])
            self._told[app_id] = self._firing.pop(app_id, 0)
            self._doubtful.pop(app_id, None)
        if self._told and self._since is not None:
            # Not beyond what is still on its way: after a death that has to be found again.
            horizon = min([max(self._told.values()) - LATE, *self._firing.values(), *self._doubtful.values()])
            self._since = max(self._since, horizon)
            self._told = {key: at for key, at in self._told.items() if at >= self._since}

    def state(self) -> dict[str, Any]:
        """What another triggerer needs to go on."""
        return {"since": self._since, "told": dict(self._told), "firing": {**self._doubtful, **self._firing}}


@dataclass
class HeadroomEdge:
    """The moments at which a queue that was full has room again.

    It is full when less than the wanted room, less a margin, is there; only from then on room counts. So neither a queue
    that always has room, nor one that wavers around what is wanted, tells anything twice.

    Parameters:
        memory, vcores: the wanted room, MiB and cores.
        margin: part of it, 0.0 to 1.0, that has to be missing for the queue to be full.
        settle: seconds for which there has to be room without a break.
        pause: seconds that lie at least between two events.
    """

    memory: int
    vcores: int
    margin: float = 0.1
    settle: float = 0.0
    pause: float = 300.0
    full: bool | None = None
    told_at: float | None = None
    _firing: bool = field(default=False, init=False)
    _doubtful: bool = field(default=False, init=False)
    _room_since: float | None = field(default=None, init=False)

    def remember(self, memory: Any) -> None:
        """Go on from what `state()` gave, in whichever triggerer."""
        if isinstance(memory, Mapping):
            self.full = memory.get("full")
            self.told_at = memory.get("told_at")
            self._doubtful = bool(memory.get("firing"))

    def on_headroom(self, room: QueueHeadroom | None, now: float) -> list[dict[str, Any]]:
        """Take the headroom of the queue in; `now` is Unix time. A queue that takes nothing, or is not there, has no room."""
        free = (room.memory, room.vcores) if room is not None and room.running else (0, 0)
        if free[0] < self.memory * (1 - self.margin) or free[1] < self.vcores * (1 - self.margin):
            if not self._firing:
                self.full = True
            self._room_since = None
            return []
        if free[0] < self.memory or free[1] < self.vcores:
            self._room_since = None
            return []
        if self.full is None:
            self.full = False  # nobody has seen it full
        if not self.full or self._firing or room is None:
            return []
        self._room_since = now if self._room_since is None else self._room_since
        paused = self.told_at is not None and now - self.told_at < self.pause
        if paused or now - self._room_since < self.settle:
            return []
        self._firing = True
        found = {"queue": room.queue, "memory": room.memory, "vcores": room.vcores, "at": now}
        return [{**found, "again": self._doubtful}]

    def stored(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Airflow has these events."""
        for event in events:
            self.full, self.told_at = False, float(event["at"])
            self._firing = self._doubtful = False
            self._room_since = None

    def state(self) -> dict[str, Any]:
        """What another triggerer needs to go on."""
        return {"full": self.full, "told_at": self.told_at, "firing": self._firing or self._doubtful}


def _facts(report: ApplicationReport) -> dict[str, Any]:
    """What an event tells of an application."""
    return {
        "application_id": report.id,
        "name": report.name,
        "user": report.user,
        "queue": report.queue,
        "type": report.type,
        "outcome": str(report.outcome),
        "tags": list(report.tags),
        "started_at": report.started_at,
        "finished_at": report.finished_at,
        "diagnostics": report.diagnostics[:1000],
        "page": report.page,
    }
