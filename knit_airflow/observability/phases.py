"""The phases of an application: waiting for resources, starting, running. Pure.

The times are from YARN's report (submission, end) and the ApplicationMaster's result (its start; containers allocated, started,
ended), so that they are the same whether the task waited on a worker or in the triggerer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knit_core.model.report import ApplicationReport
    from knit_core.model.result import Result

#: So many containers have events of their own for start and end.
MOST_CONTAINERS = 32


@dataclass(frozen=True)
class Phase:
    """A part of an application's life.

    Attributes:
        name: "wait": from the submission until the first container was allocated (includes the start of the
            ApplicationMaster); "start": until the NodeManager began to start that container; "run": until the end. NodeManagers
            download a container's files at the beginning of "run".
        began, ended: ms since the epoch.
        moments: events in it, name and time.
    """

    name: str
    began: int
    ended: int
    moments: tuple[tuple[str, int], ...] = ()

    @property
    def seconds(self) -> float:
        """Its duration."""
        return (self.ended - self.began) / 1000


def phases_of(result: Result | None, report: ApplicationReport | None) -> list[Phase]:
    """The phases of an ended application, in order; those that it did not reach are omitted.

    The times are from clocks of several machines: a phase never begins before the end of the previous one.
    """
    containers = result.containers if result is not None else ()
    timeline = result.timeline if result is not None else ()
    submitted = (report.started_at if report is not None else None) or (result.started_at if result else None)
    over = (report.finished_at if report is not None else None) or (result.finished_at if result else None)
    if submitted is None or over is None:
        return []
    over = max(submitted, over)
    given = [int(each["at"]) for each in timeline if each.get("event") == "container-allocated"]
    started = sorted(each.started_at for each in containers if each.started_at is not None)
    first = min([*given, *started], default=None)
    moments = [("ApplicationMaster started", result.started_at)] if result is not None and result.started_at else []
    if first is None:
        return [Phase("wait", submitted, over, _within(moments, submitted, over))]
    first = min(max(first, submitted), over)
    found = [Phase("wait", submitted, first, _within(moments, submitted, over))]
    if not started:
        return [*found, Phase("start", first, over)]
    running = min(max(started[0], first), over)
    events = [
        (f"{each.id} started", each.started_at) for each in containers[:MOST_CONTAINERS] if each.started_at is not None
    ]
    events += [
        (f"{each.id} {each.state}", each.finished_at)
        for each in containers[:MOST_CONTAINERS]
        if each.finished_at is not None
    ]
    events.sort(key=lambda each: each[1])
    return [*found, Phase("start", first, running), Phase("run", running, over, _within(events, running, over))]


def _within(moments: list[tuple[str, int]], began: int, ended: int) -> tuple[tuple[str, int], ...]:
    return tuple((name, min(max(at, began), ended)) for name, at in moments)
