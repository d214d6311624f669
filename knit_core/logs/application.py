"""The interface to an application that the readers of logs use."""

from __future__ import annotations

from typing import Protocol

from knit_core.hadoop.application_master import ApplicationMasterClient
from knit_core.hadoop.cluster import Cluster
from knit_core.model.report import ApplicationReport
from knit_core.model.result import Container, Result


class LoggedApplication(Protocol):
    """An application with logs; `knit_core.Application` implements it."""

    @property
    def id(self) -> str:
        """`application_…`."""

    @property
    def cluster(self) -> Cluster:
        """The connections to its cluster."""

    @property
    def master(self) -> ApplicationMasterClient:
        """Its ApplicationMaster's API."""

    def report(self) -> ApplicationReport:
        """The ResourceManager's current report."""

    def containers(self, *, retry_timeout: float | None = None) -> list[Container]:
        """Its containers."""

    def result(self) -> Result | None:
        """Its result; None while it runs."""

    def final_result(self, report: ApplicationReport | None) -> Result:
        """The result for a final report."""


__all__ = ["LoggedApplication"]
