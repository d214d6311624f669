"""Result: how an application ended, read from its `result.json` (docs/protocol.md, section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from knit_core.errors import ApplicationEnded, ApplicationFailed, ApplicationKilled, ApplicationLost
from knit_core.model.report import ApplicationReport
from knit_core.model.representation import html_facts, html_rows, shown
from knit_core.model.states import ContainerState, Outcome
from knit_core.model.units import counted


@shown
@dataclass(frozen=True)
class Container:
    """One attempt of one instance.

    Attributes:
        id: Knit's name (`main_0`).
        service, instance, attempt: the instance is the rank, from 0; attempts count from 1.
        state: see ContainerState.
        ready: whether it runs and its readiness check, if any, has succeeded.
        yarn: YARN's container id; empty before the allocation.
        node: `host:port` of its NodeManager; node_http: of that NodeManager's web server.
        exit_code: None while it runs.
        requested_at, started_at, finished_at: ms since the epoch.
        progress: 0.0 to 1.0 as reported by the program; None without a report; metrics: reported with it.
        diagnostics: YARN's text on its end.
        stderr: the last lines, for a failed container.
    """

    id: str
    service: str
    instance: int
    attempt: int
    state: ContainerState
    yarn: str = ""
    ready: bool = False
    node: str = ""
    node_http: str = ""
    exit_code: int | None = None
    requested_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    progress: float | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    diagnostics: str = ""
    stderr: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        """Host name of its node."""
        return self.node.rpartition(":")[0] or self.node

    def _row(self) -> dict[str, Any]:
        words = {"state": str(self.state), "node": self.host, "exit code": self.exit_code}
        return {"container": self.id, "attempt": self.attempt, **words, "diagnostics": self.diagnostics}

    def _repr_html_(self) -> str:
        return html_facts(f"Container {self.id}", {**self._row(), "stderr": "\n".join(self.stderr)})

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Container:
        """From the ApplicationMaster's JSON."""
        return cls(
            id=row["id"],
            service=row["service"],
            instance=row["instance"],
            attempt=row.get("attempt", 1),
            state=ContainerState(row["state"]),
            yarn=row.get("yarn") or "",
            ready=bool(row.get("ready")),
            node=row.get("node") or "",
            node_http=row.get("nodeHttp") or "",
            exit_code=row.get("exitCode"),
            requested_at=row.get("requestedAt"),
            started_at=row.get("startedAt"),
            finished_at=row.get("finishedAt"),
            progress=row.get("progress"),
            metrics=dict(row.get("metrics") or {}),
            diagnostics=row.get("diagnostics") or "",
            stderr=tuple(row.get("stderr") or ()),
        )


@shown
@dataclass(frozen=True)
class Result:
    """How an application ended.

    Attributes:
        id, name, user: of the application.
        outcome: SUCCEEDED, FAILED, KILLED or LOST.
        exit_code: of the first container that failed; 0 after success; None when no container ran, or it is not known.
        diagnostics: one line.
        containers: all containers; failures first when there are very many.
        values: the values returned with `knit_container.result`: service -> instance -> value.
        started_at, finished_at: ms since the epoch.
        timeline: events with their times.
        attempt: of the ApplicationMaster that wrote the result.
        complete: False when there is no result from the ApplicationMaster, but only YARN's report.
    """

    id: str
    outcome: Outcome
    name: str = ""
    user: str = ""
    exit_code: int | None = None
    diagnostics: str = ""
    containers: tuple[Container, ...] = ()
    values: Mapping[str, Mapping[int, Any]] = field(default_factory=dict)
    started_at: int | None = None
    finished_at: int | None = None
    timeline: tuple[Mapping[str, Any], ...] = ()
    attempt: int = 0
    complete: bool = True

    @property
    def value(self) -> Any:
        """The returned value of a single instance, or the list by rank of several; None when nothing was returned.

        Of several services: the value of the first one that returned any; `values` has all.
        """
        service, ranks = next(((name, ranks) for name, ranks in self.values.items() if ranks), ("", {}))
        if not ranks:
            return None
        instances = {c.instance for c in self.containers if c.service == service}
        if len(ranks) == 1 and len(instances) <= 1:
            return next(iter(ranks.values()))
        return [ranks.get(rank) for rank in range(max([*ranks, *instances]) + 1)]

    @property
    def first_failure(self) -> Container | None:
        """The container that failed first."""
        failed = [c for c in self.containers if c.state is ContainerState.FAILED]
        return min(failed, key=lambda c: c.finished_at or 0, default=None)

    def _repr_html_(self) -> str:
        facts = {"outcome": str(self.outcome), "name": self.name, "exit code": self.exit_code}
        rows = html_rows(counted(len(self.containers), "container"), [each._row() for each in self.containers])
        return (
            html_facts(f"Result of {self.id}", {**facts, "diagnostics": self.diagnostics, "values": self.values}) + rows
        )

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Result:
        """From `result.json`."""
        return cls(
            id=data["id"],
            name=data.get("name", ""),
            user=data.get("user", ""),
            outcome=Outcome(data["outcome"]),
            exit_code=data.get("exitCode"),
            diagnostics=data.get("diagnostics", ""),
            containers=tuple(Container.parse(row) for row in data.get("containers", ())),
            values={
                service: {int(rank): value for rank, value in ranks.items()}
                for service, ranks in (data.get("results") or {}).items()
            },
            started_at=data.get("startedAt"),
            finished_at=data.get("finishedAt"),
            timeline=tuple(data.get("timeline", ())),
            attempt=data.get("attempt", 0),
        )

    @classmethod
    def from_report(cls, report: ApplicationReport) -> Result:
        """From YARN's report, for an application without a result."""
        return cls(
            id=report.id,
            name=report.name,
            user=report.user,
            outcome=report.outcome or Outcome.LOST,
            diagnostics=" ".join(report.diagnostics.split()),
            started_at=report.started_at,
            finished_at=report.finished_at,
            complete=False,
        )

    def raise_for_outcome(self) -> Result:
        """Return this result if the application succeeded; otherwise raise the exception for the outcome."""
        if self.outcome is Outcome.SUCCEEDED:
            return self
        kinds: dict[Outcome, type[ApplicationEnded]] = {
            Outcome.FAILED: ApplicationFailed,
            Outcome.KILLED: ApplicationKilled,
            Outcome.LOST: ApplicationLost,
        }
        raise kinds[self.outcome](self._message(), self)

    def _message(self) -> str:
        verb = {Outcome.FAILED: "failed", Outcome.KILLED: "was killed", Outcome.LOST: "was lost"}[self.outcome]
        failed = self.first_failure if self.outcome is Outcome.FAILED else None
        if failed is None:
            return f"{self.id} {verb}" + (f": {self.diagnostics}" if self.diagnostics else "")
        ran = ""
        if failed.started_at and failed.finished_at:
            from knit_core.model.units import show_seconds

            ran = f" after {show_seconds((failed.finished_at - failed.started_at) / 1000)}"
        said = self.diagnostics and not self.diagnostics.startswith(failed.id)
        whole = f"{self.diagnostics}\n  " if said else ""
        text = (
            f"{self.id} failed: {whole}{failed.id} ({failed.yarn} on {failed.host}) exited with {failed.exit_code}{ran}"
        )
        others = sum(c.state is ContainerState.FAILED for c in self.containers) - 1
        text += f" (and {others} more)" if others else ""
        if failed.stderr:
            text += "\n  last lines of its stderr:\n" + "\n".join(f"  | {line}" for line in failed.stderr)
        elif failed.diagnostics and not failed.diagnostics.startswith("exited with "):  # else a repetition
            text += f"\n  {failed.diagnostics}"
        return text + f"\n  all of it: knit logs {self.id}"
