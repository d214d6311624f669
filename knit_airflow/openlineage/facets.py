"""Knit's OpenLineage facets; imported only when Airflow's OpenLineage provider is installed."""

from __future__ import annotations

from typing import Any

from airflow.providers.openlineage.extractors.manager import ExtractorManager
from attrs import define
from openlineage.client.event_v2 import Dataset
from openlineage.client.facet_v2 import JobFacet, RunFacet

from knit_airflow.openlineage.hdfs_names import hdfs_name


@define
class KnitApplicationRunFacet(RunFacet):
    """Run facet `knit`: the YARN application of a task.

    Attributes:
        applicationId: YARN's id.
        queue, user, trackingUrl, outcome: from YARN's report; empty: unknown.
        memoryMibSeconds, vcoreSeconds: resources used.
    """

    applicationId: str
    queue: str = ""
    user: str = ""
    trackingUrl: str = ""
    outcome: str = ""
    memoryMibSeconds: int | None = None
    vcoreSeconds: int | None = None


@define
class KnitJobFacet(JobFacet):
    """Job facet `knit`: the kind of program that a task runs on YARN, and the resources that it requests.

    Attributes:
        type: "command", "spec" or "function".
        asked: `instances`, `memory` and so on, as in the task's arguments.
    """

    type: str
    asked: dict[str, Any]


def declared_datasets(operator: Any) -> tuple[list[Any], list[Any]]:
    """The operator's inlets and outlets as OpenLineage datasets."""

    def converted(entities: Any) -> list[Any]:
        found = [ExtractorManager.convert_to_ol_dataset(each) or on_hdfs(each) for each in entities or ()]
        return [each for each in found if each is not None]

    def on_hdfs(entity: Any) -> Any:
        """An asset on HDFS: no provider of Airflow converts its scheme."""
        named = hdfs_name(getattr(entity, "uri", None))
        return Dataset(namespace=named[0], name=named[1]) if named else None

    return converted(operator.inlets), converted(operator.outlets)
