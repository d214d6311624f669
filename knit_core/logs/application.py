"""What the readers of logs ask of an application."""

from __future__ import annotations

from typing import Protocol

from knit_core.hadoop.cluster import Cluster
from knit_core.model.report import ApplicationReport
from knit_core.model.result import Container, Result


class LoggedApplication(Protocol):
    """An application whose logs are read; `knit_core.Application` is one."""

    @property
    def id(self) -> str:
        """`application_…`."""

    @property
    def cluster(self) -> Cluster:
        """Where it runs."""

    def report(self) -> ApplicationReport:
        """What the ResourceManager says now."""

    def containers(self, *, retry_timeout: float | None = None) -> list[Container]:
        """Its containers."""

    def result(self) -> Result | None:
        """How it ended; None while it runs."""

    def final_result(self, report: ApplicationReport | None) -> Result:
        """The result that belongs to a final report."""


__all__ = ["LoggedApplication"]
