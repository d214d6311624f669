"""Knit's OpenLineage facets; imported only where Airflow's OpenLineage provider asks for them."""

from __future__ import annotations

from typing import Any

from airflow.providers.openlineage.extractors.manager import ExtractorManager
from attrs import define
from openlineage.client.event_v2 import Dataset
from openlineage.client.facet_v2 import JobFacet, RunFacet

from knit_airflow.openlineage.hdfs_names import hdfs_name


@define
class KnitApplicationRunFacet(RunFacet):
    """Run facet `knit`: the YARN application that a task was.

    Attributes:
        applicationId: YARN's.
        queue, user, trackingUrl, outcome: as YARN has them; empty: not known.
        memoryMibSeconds, vcoreSeconds: what it used.
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
    """Job facet `knit`: what kind of program a task runs on YARN, and what it asks for.

    Attributes:
        type: "command", "spec" or "function".
        asked: `instances`, `memory` and so on, as the task gives them.
    """

    type: str
    asked: dict[str, Any]


def given_by_hand(operator: Any) -> tuple[list[Any], list[Any]]:
    """The operator's inlets and outlets as OpenLineage datasets."""

    def converted(entities: Any) -> list[Any]:
        found = [ExtractorManager.convert_to_ol_dataset(each) or on_hdfs(each) for each in entities or ()]
        return [each for each in found if each is not None]

    def on_hdfs(entity: Any) -> Any:
        """An asset on HDFS, of whose scheme no provider of Airflow knows the name."""
        named = hdfs_name(getattr(entity, "uri", None))
        return Dataset(namespace=named[0], name=named[1]) if named else None

    return converted(operator.inlets), converted(operator.outlets)
