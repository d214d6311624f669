"""Spans of a task's application in the task's own trace (`[traces] otel_on`): submit, wait, start, run.

All are children of the span that Airflow gives the task instance, which spans deferrals. The phases on the cluster are recorded
after the application's end, with the cluster's times.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from knit_airflow.observability.metrics import quietly

if TYPE_CHECKING:
    from knit_airflow.observability.phases import Phase

_MS = 1_000_000  # nanoseconds


@contextlib.contextmanager
def submitting(ti: Any, attributes: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The span of a submission; the mapping becomes its attributes."""
    began, failure = time.time_ns(), None
    try:
        yield attributes
    except BaseException as error:
        failure = error
        raise
    finally:
        _record(ti, "knit.submit", began, time.time_ns(), attributes, failure=failure)


@quietly
def record(ti: Any, phases: list[Phase], attributes: dict[str, Any], succeeded: bool) -> None:
    """Record the spans of an ended application; the last one has the failure."""
    for phase in phases:
        failed = None if succeeded or phase is not phases[-1] else str(attributes.get("knit.outcome"))
        moments = [(name, at * _MS) for name, at in phase.moments]
        _record(ti, f"knit.{phase.name}", phase.began * _MS, phase.ended * _MS, attributes, moments, failed)


@quietly
def _record(
    ti: Any,
    name: str,
    began: int,
    ended: int,
    attributes: dict[str, Any],
    moments: list[tuple[str, int]] | tuple[()] = (),
    failure: BaseException | str | None = None,
) -> None:
    span = trace.get_tracer("knit_airflow").start_span(
        name,
        context=_parent(ti),
        start_time=began,
        attributes={key: value for key, value in attributes.items() if value not in (None, "")},
    )
    for moment, at in moments:
        span.add_event(moment, timestamp=at)
    if failure is not None:
        # Only the type of an exception: its message may contain output of the program.
        description = failure if isinstance(failure, str) else type(failure).__name__
        span.set_status(Status(StatusCode.ERROR, description))
    span.end(end_time=ended)


def _parent(ti: Any) -> Any:
    """The context of the task instance's span; None (the current context) when it has no span."""
    carrier = getattr(ti, "context_carrier", None)
    return TraceContextTextMapPropagator().extract(carrier) if carrier else None
