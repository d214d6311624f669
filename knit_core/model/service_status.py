"""Services and events of a running application. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from knit_core.model.representation import shown


@shown
@dataclass(frozen=True)
class ServiceStatus:
    """One service, as the ApplicationMaster reports it.

    Attributes:
        name: of the service.
        state: WAITING (for other services), STARTING, READY, SUCCEEDED or FAILED.
        instances: their current number.
        running, ready, pending, waiting, succeeded, failed: number of instances in that state; ready ones also count as
            running.
        restarts: number of replacement containers so far.
    """

    name: str
    state: str
    instances: int
    running: int
    ready: int
    pending: int
    waiting: int
    succeeded: int
    failed: int
    restarts: int

    @classmethod
    def parse(cls, name: str, row: Mapping[str, Any]) -> ServiceStatus:
        """From the ApplicationMaster's JSON."""
        return cls(name, **{key: row[key] for key in cls.__dataclass_fields__ if key != "name"})


@shown
@dataclass(frozen=True)
class Event:
    """An event of an application.

    Attributes:
        number: counts from 1, and goes on after a restart of the ApplicationMaster.
        at: ms since the epoch.
        kind: container-started, service-released, scaled, node-avoided … (docs/protocol.md, section 6).
        container: Knit's name of the container; empty when it concerns no container.
        detail: one line with details.
    """

    number: int
    at: int
    kind: str
    container: str = ""
    detail: str = ""

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Event:
        """From the ApplicationMaster's JSON."""
        return cls(row["seq"], row["at"], row["event"], row.get("container") or "", row.get("detail") or "")

    def __str__(self) -> str:
        return " ".join(part for part in (self.kind, self.container, self.detail) if part)


__all__ = ["Event", "ServiceStatus"]
