"""OpenLineage metadata of a task: its application, and the files on HDFS that it reads.

Airflow's OpenLineage provider calls an operator's `get_openlineage_facets_on_…`; OpenLineage is not imported before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from knit_airflow.openlineage.hdfs_names import hdfs_files

if TYPE_CHECKING:
    from knit_core import Application
    from knit_core.model.report import ApplicationReport

#: The operator's arguments that request resources.
_ASKED = ("instances", "num_containers", "memory", "vcores", "gpus", "yarn_resources")


def facets(operator: Any, application: Application | None = None, report: ApplicationReport | None = None) -> Any:
    """An `OperatorLineage`; None when Airflow's OpenLineage provider is not installed.

    Parameters:
        operator: the task's operator, with rendered templates.
        application, report: None until they are known.
    """
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage
        from openlineage.client.event_v2 import Dataset

        from knit_airflow.openlineage.facets import KnitApplicationRunFacet, KnitJobFacet, declared_datasets
    except ImportError:
        return None

    found = {}
    if application is not None:
        found["knit"] = KnitApplicationRunFacet(
            applicationId=application.id,
            queue=report.queue if report is not None else str(getattr(operator, "yarn_queue", None) or ""),
            user=report.user if report is not None else "",
            trackingUrl=report.tracking_url if report is not None else "",
            outcome=str(report.outcome) if report is not None and report.outcome is not None else "",
            memoryMibSeconds=report.memory_seconds if report is not None else None,
            vcoreSeconds=report.vcore_seconds if report is not None else None,
        )
    kind = "function" if hasattr(operator, "python_callable") else "spec" if _has_spec(operator) else "command"
    asked = {name: value for name in _ASKED if (value := getattr(operator, name, None)) is not None}
    inlets, outlets = declared_datasets(operator)
    named = {(each.namespace, each.name) for each in inlets}
    files = [Dataset(namespace=space, name=name) for space, name in hdfs_files(operator) if (space, name) not in named]
    return OperatorLineage(
        # Airflow's provider reads inlets and outlets only when an operator returns no datasets itself.
        inputs=[*inlets, *files],
        outputs=outlets,
        run_facets=found,
        job_facets={"knit": KnitJobFacet(type=kind, asked={key: _plain(each) for key, each in asked.items()})},
    )


def _has_spec(operator: Any) -> bool:
    return getattr(operator, "spec", None) is not None


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value if isinstance(value, int | float) else str(value)
