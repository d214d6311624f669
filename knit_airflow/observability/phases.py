"""What an application spent its time with: waiting for room, starting, running. Pure.

The times are those of YARN's report (submission, end) and of the ApplicationMaster's result (its start, containers given,
started and ended), so they are the same whether the task waited on a worker or in the triggerer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knit_core.model.report import ApplicationReport
    from knit_core.model.result import Result

#: Containers whose start and end are told one by one.
TOLD = 32


@dataclass(frozen=True)
class Phase:
    """A part of an application's life.

    Attributes:
        name: "wait": from the submission until its first container was given (its ApplicationMaster waits and starts in
            it); "start": until that container's node had begun to start it; "run": until the end. Nodes fetch a
            container's files at the beginning of "run".
        began, ended: ms since the epoch.
        moments: what happened in it, name and time.
    """

    name: str
    began: int
    ended: int
    moments: tuple[tuple[str, int], ...] = ()

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.ended - self.began) / 1000


def phases_of(result: Result | None, report: ApplicationReport | None) -> list[Phase]:
    """The phases of an application that has ended, in their order; those that it did not reach are left out.

    The clocks of several machines are in it, so that each phase begins no earlier than the one before ended.
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
    told = [(f"{each.id} started", each.started_at) for each in containers[:TOLD] if each.started_at is not None]
    told += [
        (f"{each.id} {each.state}", each.finished_at) for each in containers[:TOLD] if each.finished_at is not None
    ]
    told.sort(key=lambda each: each[1])
    return [*found, Phase("start", first, running), Phase("run", running, over, _within(told, running, over))]


def _within(moments: list[tuple[str, int]], began: int, ended: int) -> tuple[tuple[str, int], ...]:
    return tuple((name, min(max(at, began), ended)) for name, at in moments)
