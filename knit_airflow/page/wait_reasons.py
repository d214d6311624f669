"""Why applications of one page wait, in one line each: those that have no ApplicationMaster yet depend on nodes and queues."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any


async def reasons(rows: Sequence[dict[str, Any]], known: Mapping[str, tuple[Any, Any]]) -> None:
    """Say of the rows that wait why they do; nodes and queues are asked for only when there are any, once for all.

    Parameters:
        rows: of the list; `why` is set in place.
        known: cluster and report by application id.
    """
    from knit_core.monitoring.diagnosis import why_no_master

    now = int(time.time() * 1000)
    around: dict[int, Any] = {}
    for row in rows:
        if row["state"] != "waiting":
            continue
        cluster, report = known[row["id"]]
        if id(cluster) not in around:
            around[id(cluster)] = await cluster.nodes_and_queues()
        nodes_and_queues = around[id(cluster)]
        if nodes_and_queues is not None:
            why = why_no_master(report, now, nodes_and_queues.nodes, nodes_and_queues.queues)
            row["why"] = " ".join([why.text, *why.details[:1]])[:400]
