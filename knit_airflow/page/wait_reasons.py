"""Finds out why applications wait for their ApplicationMaster, from nodes and queues; one line for each row of the list."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any


async def reasons(rows: Sequence[dict[str, Any]], known: Mapping[str, tuple[Any, Any]]) -> None:
    """Set `why` of the waiting rows. Nodes and queues are requested once for each cluster, only if a row waits.

    Parameters:
        rows: of the list; changed in place.
        known: cluster and report by application id.
    """
    from knit_core.monitoring.diagnosis import why_no_master

    now = int(time.time() * 1000)
    by_cluster: dict[int, Any] = {}
    for row in rows:
        if row["state"] != "waiting":
            continue
        cluster, report = known[row["id"]]
        if id(cluster) not in by_cluster:
            by_cluster[id(cluster)] = await cluster.nodes_and_queues()
        nodes_and_queues = by_cluster[id(cluster)]
        if nodes_and_queues is not None:
            why = why_no_master(report, now, nodes_and_queues.nodes, nodes_and_queues.queues)
            row["why"] = " ".join([why.text, *why.details[:1]])[:400]
