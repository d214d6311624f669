"""The fault matrix: which main jobs meet which fault at which place, and the selection that `make test` runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests import fault_proxy as faults
from tests.faults.network import PLACES

HOLD = 0.6  # seconds that a fault lasts which does not end by itself
_HTTP = {place for place in PLACES if not place.startswith("master-")}


@dataclass(frozen=True)
class Case:
    """One fault as the matrix uses it.

    Attributes:
        kind: slow, broken, silent or refused; the selection is pairwise over these.
        fault: None: the process at the far end is stopped.
        times: connections that it meets; None: it is switched off after `HOLD`.
        lasting: stays on while the job is done.
        http: only for places where HTTP is spoken.
    """

    kind: str
    fault: faults.Fault | None
    times: int | None = None
    lasting: bool = False
    http: bool = False


FAULTS = {
    "delay": Case("slow", faults.Delay(seconds=0.2), lasting=True),
    "slow-start": Case("slow", faults.Slow(rate=20_000, first=2000), lasting=True),
    "cut-reply": Case("broken", faults.Cut("reply", after=150), times=2),
    "cut-request": Case("broken", faults.Cut("request", after=150), times=2),
    "lost-reply": Case("broken", faults.Cut("reply"), times=1),
    "reset": Case("broken", faults.Reset(after=0), times=2),
    "repeated-reply": Case("broken", faults.RepeatReply(), lasting=True, http=True),
    "half-open": Case("silent", faults.HalfOpen()),
    "black-hole": Case("silent", faults.BlackHole()),
    "stall": Case("silent", faults.Stall("reply")),
    "unreachable": Case("silent", faults.Unreachable()),
    "stopped": Case("silent", None),
    "refused": Case("refused", faults.Refuse()),
}
_CLIENT = ("client-resourcemanager", "client-namenode", "client-datanode")
_MASTER = ("master-resourcemanager", "master-namenode", "master-datanode", "master-nodemanager")
#: The places that a job uses.
JOBS = {
    "launch": (*_CLIENT, *_MASTER),
    "wait": (*_CLIENT, "master-resourcemanager", "master-namenode", "master-datanode"),
    "logs": ("client-resourcemanager", "client-master", "client-nodemanager"),
    "old-logs": _CLIENT,
    "map": (*_CLIENT, *_MASTER, "container-master", "container-namenode"),
    "kv": ("client-master", "container-master", "master-datanode"),
    "scale": ("client-master", "master-resourcemanager", "master-datanode", "master-nodemanager"),
    "kill": ("client-resourcemanager", "client-master", *_MASTER),
}
_LONG = ("map",)  # jobs that take longer than others: no more of them than must be
#: What is stopped for a place's fault `stopped`.
FAR_END = {place: place.partition("-")[2] for place in PLACES}


@dataclass(frozen=True)
class Cell:
    """One test: a job, a place that it uses, a fault there."""

    job: str
    place: str
    fault: str

    def __str__(self) -> str:
        return f"{self.job}-{self.place}-{self.fault}"

    @property
    def pairs(self) -> set[tuple[str, str]]:
        kind = FAULTS[self.fault].kind
        return {(self.job, self.place), (self.job, kind), (self.place, kind)}


CELLS = [
    Cell(job, place, name)
    for job, places in JOBS.items()
    for place in places
    for name, case in FAULTS.items()
    if (place in _HTTP or not case.http)
    # what a DataNode acknowledges is too short to be cut within
    and not (place == "master-datanode" and name == "cut-reply")
    # the application that a map launches is not known before it is done
    if not (case.fault is None and FAR_END[place] == "master" and job == "map")
]


def selection() -> list[Cell]:
    """Cells in which every pair of job and place, job and kind of fault, place and kind of fault occurs.

    Greedy and without chance: always the same. The faults of a kind take turns.
    """
    left = list(CELLS)
    missing = set().union(*(cell.pairs for cell in left))
    used: Counter[str] = Counter()
    chosen: list[Cell] = []
    while missing:
        best = max(left, key=lambda cell: (len(cell.pairs & missing), cell.job not in _LONG, -used[cell.fault]))
        left.remove(best)
        missing -= best.pairs
        used[best.fault] += 1
        chosen.append(best)
    return sorted(chosen, key=CELLS.index)
