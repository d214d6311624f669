"""Metrics and traces of a task's application, called by the operator. Errors here never fail or delay a task."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from knit_airflow.observability import metrics, tracing
from knit_airflow.observability.phases import phases_of

if TYPE_CHECKING:
    from knit_core.model.report import ApplicationReport
    from knit_core.model.result import Result


@contextlib.contextmanager
def submitting(ti: Any, knit: Any, given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Context of a submission; the caller puts the application's id into the mapping as `knit.application_id`."""
    queue = str(given.get("queue") or _configured(knit) or "default")
    began = time.monotonic()
    with tracing.submitting(ti, {"knit.queue": queue}) as attributes:
        yield attributes
    metrics.submitted(queue, time.monotonic() - began)


@metrics.quietly
def ended(ti: Any, result: Result | None, report: ApplicationReport | None) -> None:
    """The task's application has ended."""
    outcome = str((result.outcome if result is not None else None) or (report.outcome if report else None) or "LOST")
    queue = report.queue if report is not None else ""
    phases = phases_of(result, report)
    metrics.ended(queue, outcome, phases, report)
    containers = result.containers if result is not None else ()
    attributes = {
        "knit.application_id": report.id if report is not None else result.id if result is not None else "",
        "knit.queue": queue,
        "knit.outcome": outcome,
        "knit.exit_code": result.exit_code if result is not None else None,
        "knit.containers": len(containers),
        "knit.tracking_url": report.tracking_url if report is not None else "",
    }
    tracing.record(ti, phases, attributes, succeeded=outcome == "SUCCEEDED")


def _configured(knit: Any) -> Any:
    with contextlib.suppress(Exception):
        return knit.config.get("queue")
    return None
