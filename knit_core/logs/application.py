"""What the readers of logs ask of an application."""

from __future__ import annotations

from typing import Protocol

from knit_core.hadoop.cluster import Cluster
from knit_core.model.report import Report
from knit_core.model.result import Container, Result


class LoggedApplication(Protocol):
    """An application whose logs are read; `knit_core.Application` is one."""

    @property
    def id(self) -> str:
        """`application_…`."""

    @property
    def cluster(self) -> Cluster:
        """Where it runs."""

    def report(self) -> Report:
        """What the ResourceManager says now."""

    def containers(self, *, patience: float | None = None) -> list[Container]:
        """Its containers."""

    def result(self) -> Result | None:
        """How it ended; None while it runs."""

    def conclude(self, report: Report | None) -> Result:
        """The result that belongs to a final report."""


__all__ = ["LoggedApplication"]
