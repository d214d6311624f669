"""Decide which events asset watchers fire, from lists of applications and from queue headroom. Pure.

A watcher's memory is a small JSON object that outlives the triggerer. It is written twice for each event: before the event is
fired ("firing"), and when Airflow has stored it. An event whose triggerer died in between is fired again, marked `again`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from knit_core.model.queues import QueueHeadroom
    from knit_core.model.report import ApplicationReport

#: Milliseconds by which the ResourceManager may list an end late, compared with other ends; older ends are ignored.
LATE = 600_000


class EndedApplications:
    """One event for each application that ends.

    Applications that had ended before the watcher's first list have none.

    Parameters:
        fits: whether an application is watched.
        memory: the result of `state()`, in this or another triggerer; None: the watcher is new.
    """

    def __init__(self, fits: Callable[[ApplicationReport], bool], memory: Any = None) -> None:
        self._fits = fits
        kept = memory if isinstance(memory, Mapping) else {}
        since = kept.get("since")
        self._since: int | None = int(since) if since is not None else None
        self._stored: dict[str, int] = {str(key): int(at) for key, at in (kept.get("told") or {}).items()}
        self._maybe_stored: dict[str, int] = {str(key): int(at) for key, at in (kept.get("firing") or {}).items()}
        self._firing: dict[str, int] = {}

    def on_list(self, reports: Iterable[ApplicationReport]) -> list[dict[str, Any]]:
        """Take a list (the first one is complete); returns the events to fire, in the order of the ends."""
        rows = list(reports)
        ended = [each for each in rows if each.ended and each.finished_at is not None and self._fits(each)]
        ended.sort(key=lambda each: (each.finished_at, each.id))
        if self._since is None:
            clock = max((max(each.finished_at or 0, each.started_at or 0) for each in rows), default=0)
            self._since = max(0, clock - LATE)
            self._stored = {each.id: at for each in ended if (at := each.finished_at or 0) >= self._since}
            return []
        # After a restart the first list is complete: an application that it lacks is not listed again.
        listed = {each.id for each in ended}
        self._maybe_stored = {key: at for key, at in self._maybe_stored.items() if key in listed or key in self._firing}
        found = []
        for each in ended:
            at = each.finished_at or 0
            if at >= self._since and each.id not in self._stored and each.id not in self._firing:
                self._firing[each.id] = at
                found.append({**_payload(each), "again": each.id in self._maybe_stored})
        return found

    def stored(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Airflow has stored these events."""
        for event in events:
            app_id = str(event["application_id"])
            self._stored[app_id] = self._firing.pop(app_id, 0)
            self._maybe_stored.pop(app_id, None)
        if self._stored and self._since is not None:
            # Not beyond events that are not stored yet: after a restart their applications have to be found again.
            horizon = min([max(self._stored.values()) - LATE, *self._firing.values(), *self._maybe_stored.values()])
            self._since = max(self._since, horizon)
            self._stored = {key: at for key, at in self._stored.items() if at >= self._since}

    def state(self) -> dict[str, Any]:
        """The memory with which another triggerer continues."""
        return {"since": self._since, "told": dict(self._stored), "firing": {**self._maybe_stored, **self._firing}}


@dataclass
class HeadroomEdge:
    """One event each time a queue that was full has headroom again.

    The queue counts as full when its headroom is below the wanted one less a margin; only then can the next event follow. So
    a queue that always has headroom fires no event, and one that varies around the wanted headroom fires only one.

    Parameters:
        memory, vcores: the wanted headroom, MiB and cores.
        margin: part of it, 0.0 to 1.0, that has to be missing for the queue to be full.
        settle: seconds for which the headroom has to last without interruption.
        pause: minimum seconds between two events.
    """

    memory: int
    vcores: int
    margin: float = 0.1
    settle: float = 0.0
    pause: float = 300.0
    full: bool | None = None
    told_at: float | None = None
    _firing: bool = field(default=False, init=False)
    _maybe_stored: bool = field(default=False, init=False)
    _free_since: float | None = field(default=None, init=False)

    def remember(self, memory: Any) -> None:
        """Continue from the result of `state()`, in this or another triggerer."""
        if isinstance(memory, Mapping):
            self.full = memory.get("full")
            self.told_at = memory.get("told_at")
            self._maybe_stored = bool(memory.get("firing"))

    def on_headroom(self, headroom: QueueHeadroom | None, now: float) -> list[dict[str, Any]]:
        """Take the queue's headroom; `now` is Unix time. A queue that is stopped or does not exist (None) has none."""
        free = (headroom.memory, headroom.vcores) if headroom is not None and headroom.running else (0, 0)
        if free[0] < self.memory * (1 - self.margin) or free[1] < self.vcores * (1 - self.margin):
            if not self._firing:
                self.full = True
            self._free_since = None
            return []
        if free[0] < self.memory or free[1] < self.vcores:
            self._free_since = None
            return []
        if self.full is None:
            self.full = False  # it was not full since the watcher began
        if not self.full or self._firing or headroom is None:
            return []
        self._free_since = now if self._free_since is None else self._free_since
        paused = self.told_at is not None and now - self.told_at < self.pause
        if paused or now - self._free_since < self.settle:
            return []
        self._firing = True
        found = {"queue": headroom.queue, "memory": headroom.memory, "vcores": headroom.vcores, "at": now}
        return [{**found, "again": self._maybe_stored}]

    def stored(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Airflow has stored these events."""
        for event in events:
            self.full, self.told_at = False, float(event["at"])
            self._firing = self._maybe_stored = False
            self._free_since = None

    def state(self) -> dict[str, Any]:
        """The memory with which another triggerer continues."""
        return {"full": self.full, "told_at": self.told_at, "firing": self._firing or self._maybe_stored}


def _payload(report: ApplicationReport) -> dict[str, Any]:
    """The payload of an event."""
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
