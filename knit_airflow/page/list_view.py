"""The list of applications: converts the ResourceManager's reports to rows, filters and pages them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from knit_core.model.states import Outcome, State

if TYPE_CHECKING:
    from knit_core.model.report import ApplicationReport

#: Rows on a page: default and maximum.
ROWS, MOST_ROWS = 50, 200
#: Values of the filter "state", and the states that each selects.
STATES: Mapping[str, frozenset[str]] = {
    "active": frozenset({"waiting", "running"}),
    "waiting": frozenset({"waiting"}),
    "running": frozenset({"running"}),
    "ended": frozenset({"succeeded", "failed", "killed"}),
    "succeeded": frozenset({"succeeded"}),
    "failed": frozenset({"failed"}),
    "killed": frozenset({"killed"}),
}
_ENDED = STATES["ended"]


@dataclass(frozen=True)
class TaskKey:
    """The task instance that an application belongs to; `map_index` is -1 for a task that is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @property
    def path(self) -> str:
        """Path of its page in Airflow, below the base address."""
        parts = [quote(each, safe="") for each in (self.dag_id, self.run_id, self.task_id)]
        mapped = f"/mapped/{self.map_index}" if self.map_index >= 0 else ""
        return f"dags/{parts[0]}/runs/{parts[1]}/tasks/{parts[2]}{mapped}"


@dataclass(frozen=True)
class ListQuery:
    """Filters, order and page of a request.

    Attributes:
        dag, queue: exactly these; empty: all.
        state: a key of STATES; empty: all.
        text: occurs in the id, name, DAG, run, task or user, in any case.
        sort: a key of SORTS; with a leading "-" descending; empty: running ones first, then the newest.
        page, size: from 1; rows on a page.
    """

    dag: str = ""
    state: str = ""
    queue: str = ""
    text: str = ""
    sort: str = ""
    page: int = 1
    size: int = ROWS


def state_of(report: ApplicationReport) -> str:
    """The state in one word: waiting (no ApplicationMaster yet), running, succeeded, failed or killed."""
    if report.outcome is not None:
        return "failed" if report.outcome is Outcome.LOST else str(report.outcome).lower()
    return "running" if report.state is State.RUNNING else "waiting"


def safe_link(address: str) -> str:
    """The address if it is http or https; else empty. Reported addresses are not trusted."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return address if parts.scheme in ("http", "https") and parts.netloc else ""


def row_of(report: ApplicationReport, task: TaskKey | None, why: str = "") -> dict[str, Any]:
    """The browser's row of one application: memory in MiB, times in ms since the epoch, cost in GiB-hours.

    `memory` and `vcores` are allocated; `memory_asked` and `vcores_asked` include pending requests. `why` is why a waiting
    application waits.
    """
    return {
        "id": report.id,
        "name": report.name,
        "user": report.user,
        "dag_id": task.dag_id if task else None,
        "run_id": task.run_id if task else None,
        "task_id": task.task_id if task else None,
        "map_index": task.map_index if task else None,
        "task": task.path if task else None,
        "state": state_of(report),
        "yarn_state": str(report.state),
        "queue": report.queue,
        "containers": report.containers,
        "pending": report.pending_containers,
        "progress": report.progress,
        "memory": report.memory,
        "memory_asked": report.memory + report.pending_memory,
        "vcores": report.vcores,
        "vcores_asked": report.vcores + report.pending_vcores,
        "started_at": report.started_at,
        "finished_at": report.finished_at,
        "gb_hours": round(report.memory_seconds / 1024 / 3600, 4),
        "core_hours": round(report.vcore_seconds / 3600, 4),
        "attempt": report.attempt,
        "why": why or waits_for(report),
        "page": safe_link(report.page),
    }


def waits_for(report: ApplicationReport) -> str:
    """Why an application waits or failed, from its report alone: YARN's diagnostics, or the number of missing containers."""
    words = " ".join(report.diagnostics.split())
    if report.ended:
        return "" if report.outcome is Outcome.SUCCEEDED else words[:400]
    if report.state is not State.RUNNING:
        return words[:400]
    if report.pending_containers:
        many = report.pending_containers != 1
        return f"{report.pending_containers} container{'s are' if many else ' is'} asked for and not there yet"
    return ""


#: Columns to sort by.
SORTS: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "started": lambda row: row["started_at"] or 0,
    "name": lambda row: row["name"].lower(),
    "dag": lambda row: (row["dag_id"] or "", row["task_id"] or "", row["map_index"] or -1),
    "state": lambda row: row["state"],
    "queue": lambda row: row["queue"],
    "containers": lambda row: row["containers"],
    "progress": lambda row: row["progress"],
    "memory": lambda row: row["memory"],
    "vcores": lambda row: row["vcores"],
    "cost": lambda row: row["gb_hours"],
}


def page_of(rows: Iterable[dict[str, Any]], query: ListQuery) -> dict[str, Any]:
    """The requested rows, their numbers, and the possible values of the filters.

    Parameters:
        rows: all rows that the viewer may see.
        query: filters, order and page.
    """
    everything = list(rows)
    found = [row for row in everything if _fits(row, query)]
    size = min(max(1, query.size), MOST_ROWS)
    pages = max(1, -(-len(found) // size))
    page = min(max(1, query.page), pages)
    return {
        "rows": _sorted(found, query.sort)[(page - 1) * size : page * size],
        "found": len(found),
        "total": len(everything),
        "page": page,
        "pages": pages,
        "states": dict(Counter(row["state"] for row in everything)),
        "dags": _names(row["dag_id"] for row in everything),
        "queues": _names(row["queue"] for row in everything),
        "sums": _sums(found),
    }


def _fits(row: Mapping[str, Any], query: ListQuery) -> bool:
    if query.dag and row["dag_id"] != query.dag:
        return False
    if query.queue and row["queue"] != query.queue:
        return False
    if query.state and row["state"] not in STATES.get(query.state, ()):
        return False
    text = query.text.strip().lower()
    names = ("id", "name", "dag_id", "run_id", "task_id", "user")
    return not text or any(text in str(row[name] or "").lower() for name in names)


def _sorted(rows: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    newest = sorted(rows, key=lambda row: row["started_at"] or 0, reverse=True)
    key = SORTS.get(sort.removeprefix("-"))
    if key is None:
        return sorted(newest, key=lambda row: row["state"] in _ENDED)
    return sorted(newest, key=key, reverse=sort.startswith("-"))


def _names(values: Iterable[str | None]) -> list[str]:
    return sorted({each for each in values if each})


def _sums(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    keys = ("containers", "pending", "memory", "memory_asked", "vcores", "vcores_asked")
    return {
        **{key: sum(row[key] for row in rows) for key in keys},
        "gb_hours": round(sum(r["gb_hours"] for r in rows), 2),
    }
