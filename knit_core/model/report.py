"""ApplicationReport: one application in the ResourceManager's reply, as an immutable value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from knit_core.model.ids import ContainerId
from knit_core.model.lenient_json import number, rows
from knit_core.model.representation import html_facts, shown
from knit_core.model.states import Outcome, State, outcome_of


@shown
@dataclass(frozen=True)
class ApplicationReport:
    """One application, as the ResourceManager reports it.

    Attributes:
        id: application id.
        name, user, queue, type: as submitted.
        state: YARN's state.
        outcome: how it ended; None while it runs.
        progress: 0.0 to 1.0.
        diagnostics: text from YARN and the ApplicationMaster.
        tracking_url: the application's own page through the ResourceManager's proxy; empty until it runs.
        master: `host:port` of the ApplicationMaster's API; empty until it runs.
        attempt: number of the current attempt; 0 before the first.
        started_at, finished_at: ms since the epoch; None when not yet.
        memory, vcores, containers: allocated now (MiB, cores, number); 0 after the end.
        pending_memory, pending_vcores, pending_containers: requested and not allocated yet; 0 unless queried with
            `ResourceManager.apps(pending=True)`.
        memory_seconds, vcore_seconds: used so far (MiB·s, core·s).
        tags: in lower case, as YARN stores them.
        master_logs: address of the ApplicationMaster's own logs.
        log_aggregation: YARN's logAggregationStatus.
        page: the ResourceManager's page of the application.
    """

    id: str
    name: str
    user: str
    queue: str
    state: State
    outcome: Outcome | None
    progress: float = 0.0
    diagnostics: str = ""
    tracking_url: str = ""
    master: str = ""
    attempt: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    memory: int = 0
    vcores: int = 0
    containers: int = 0
    pending_memory: int = 0
    pending_vcores: int = 0
    pending_containers: int = 0
    memory_seconds: int = 0
    vcore_seconds: int = 0
    tags: tuple[str, ...] = ()
    type: str = ""
    priority: int = 0
    master_logs: str = ""
    log_aggregation: str = ""
    page: str = ""

    @property
    def ended(self) -> bool:
        """Whether the application has ended."""
        return self.outcome is not None

    def _row(self) -> dict[str, Any]:
        state = str(self.outcome or self.state)
        return {"id": self.id, "name": self.name, "user": self.user, "queue": self.queue, "state": state}

    def _repr_html_(self) -> str:
        more = {"progress": f"{self.progress:.0%}", "diagnostics": self.diagnostics, "page": self.page}
        return html_facts("Report", {**self._row(), **more})

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "state": str(self.state), "outcome": str(self.outcome) if self.outcome else None}


def parse_report(app: Mapping[str, Any], base: str) -> ApplicationReport:
    """An ApplicationReport from an `app` object of the ResourceManager's REST API.

    Args:
        app: the object.
        base: address of the ResourceManager, for `page` and for a `tracking_url` at a gateway.
    """
    state = State(app["state"])
    ended = state.ended
    logs = str(app.get("amContainerLogs") or "")
    master = ContainerId.search(logs)
    address = str(app.get("amRPCAddress") or "")
    tags = app.get("applicationTags") or ""
    pending = [] if ended else [row for row in rows(app, "resourceRequests") if row.get("resourceName") == "*"]
    counts = [max(0, number(row.get("numContainers"))) for row in pending]
    sizes = [row.get("capability") or {} for row in pending]
    return ApplicationReport(
        id=app["id"],
        name=app.get("name") or "",
        user=app.get("user") or "",
        queue=app.get("queue") or "",
        state=state,
        outcome=outcome_of(state, app.get("finalStatus") or "UNDEFINED"),
        progress=min(1.0, max(0.0, float(app.get("progress") or 0.0) / 100.0)),
        diagnostics=(app.get("diagnostics") or "").strip(),
        tracking_url=_tracking_url(app.get("trackingUrl"), base),
        master=address if _usable(address) else "",
        attempt=master.attempt if master else 0,
        started_at=number(app.get("startedTime")) or None,
        finished_at=(number(app.get("finishedTime")) or None) if ended else None,
        memory=max(0, number(app.get("allocatedMB"))),
        vcores=max(0, number(app.get("allocatedVCores"))),
        containers=max(0, number(app.get("runningContainers"))),
        pending_memory=sum(n * number(size.get("memory")) for n, size in zip(counts, sizes, strict=True)),
        pending_vcores=sum(n * number(size.get("vCores")) for n, size in zip(counts, sizes, strict=True)),
        pending_containers=sum(counts),
        memory_seconds=number(app.get("memorySeconds")),
        vcore_seconds=number(app.get("vcoreSeconds")),
        tags=tuple(tag for tag in tags.split(",") if tag),
        type=app.get("applicationType") or "",
        priority=number(app.get("priority")),
        master_logs=logs,
        log_aggregation=app.get("logAggregationStatus") or "",
        page=f"{base}/cluster/app/{app['id']}",
    )


def _tracking_url(value: Any, base: str) -> str:
    """The address through the ResourceManager's proxy; behind a gateway, at the gateway's address that is in use.

    The gateway may have another name for itself (Knox: gateway.frontend.url), where a password is not sent.
    """
    if not value or value == "UNASSIGNED":
        return ""
    text, given = str(value), urlsplit(base)
    url = urlsplit(urljoin(f"{base}/", text) if text.startswith("/") else text)
    if given.path.strip("/") and url.path.startswith(f"{given.path.rstrip('/')}/"):
        url = url._replace(scheme=given.scheme, netloc=given.netloc)
    return url.geturl()


def _usable(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return bool(host) and host not in {"N/A", "null"} and port.isdigit() and int(port) > 0
