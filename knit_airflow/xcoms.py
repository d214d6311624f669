"""A task's XComs from its application's result, and whether an exit code means "skip". Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from knit_core.model.report import ApplicationReport
    from knit_core.model.result import Result


def xcoms_of(result: Result | None, report: ApplicationReport | None) -> dict[str, Any]:
    """XComs by name: `exit_codes` (container -> code) and `resources_used`; unknown ones are omitted.

    `resources_used` has `memory_mib_seconds`, `vcore_seconds`, and `seconds` from start to end.
    """
    found: dict[str, Any] = {}
    if result is not None and result.containers:
        found["exit_codes"] = {each.id: each.exit_code for each in result.containers}
    if report is not None:
        used: dict[str, Any] = {
            "memory_mib_seconds": report.memory_seconds,
            "vcore_seconds": report.vcore_seconds,
        }
        if report.started_at and report.finished_at:
            used["seconds"] = (report.finished_at - report.started_at) / 1000
        found["resources_used"] = used
    return found


def skips(exit_code: int | None, codes: int | Collection[int] | None) -> bool:
    """Whether this exit code skips the task."""
    if exit_code is None or codes is None:
        return False
    return exit_code == codes if isinstance(codes, int) else exit_code in codes


def value_of(result: Result) -> Any:
    """A task's XCom: the value of one instance; of several, a list in the order of ranks; of several services, a mapping.

    None for an instance that returned no value.
    """
    services = {each.service for each in result.containers} | set(result.values)
    if len(services) < 2:
        return result.value
    by_service: dict[str, Any] = {}
    for service in sorted(services):
        ranks = result.values.get(service, {})
        count = max([*(each.instance for each in result.containers if each.service == service), *ranks, 0]) + 1
        values = [ranks.get(rank) for rank in range(count)]
        by_service[service] = values[0] if count == 1 else values
    return by_service
