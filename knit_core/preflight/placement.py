"""Checks the placement of containers: labels, nodes, racks, anti-affinity."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from knit_core.model.cluster_facts import ClusterFacts, Node
from knit_core.preflight.queues import queue_of
from knit_core.spec import ApplicationSpec, Service


def problems(spec: ApplicationSpec, facts: ClusterFacts, address: str) -> Iterator[str]:
    """Labels, nodes and racks that do not exist, that are not running, or that the queue may not use."""
    for name, service in spec.services.items():
        where = "" if name == "main" else f"{name}: "
        yield from _label(service.node_label, f"{where}node_label", spec, facts)
        if facts.nodes is not None:
            yield from _places(service.nodes, "node", where, facts.nodes, {n.host for n in facts.nodes}, address)
            yield from _places(service.racks, "rack", where, facts.nodes, {n.rack for n in facts.nodes}, address)
        yield from _anti_affinity(service, facts, where)
    yield from _label(spec.master_label, "master_label", spec, facts)


def _label(label: str, field: str, spec: ApplicationSpec, facts: ClusterFacts) -> Iterator[str]:
    if not label:
        return
    if facts.features.node_labels is False:
        yield f"{field} {label!r}: this cluster has no node labels (yarn.node-labels.enabled is false)."
        return
    if facts.labels is not None and label not in facts.labels:
        yield f"{field}: this cluster has no node label {label!r}; {_nearest(label, facts.labels)}"
        return
    queue = queue_of(spec, facts)
    if queue is not None and queue.labels is not None and not {"*", label} & set(queue.labels):
        allowed = ", ".join(queue.labels) or "none"
        yield f"{field}: the queue {queue.path} may not use nodes with the label {label!r} (it may use: {allowed})."
        return
    if facts.nodes is not None and not any(node.label == label and node.running for node in facts.nodes):
        yield f"{field}: no running node has the label {label!r}."
    elif facts.nodes is not None and queue is not None and queue.shares.get(label) == 0:
        yield f"{field}: the queue {queue.path} has no share of the nodes with the label {label!r}."


def _places(
    wanted: tuple[str, ...], what: str, where: str, nodes: tuple[Node, ...], known: set[str], address: str
) -> Iterator[str]:
    for name in wanted:
        if name not in known:
            yield f"{where}there is no {what} {name!r} at {address}; {_nearest(name, known)}"
    there = [node for node in nodes if (node.host if what == "node" else node.rack) in wanted]
    if there and not any(node.running for node in there):
        states = ", ".join(f"{node.host} is {node.state}" for node in there[:5])
        yield f"{where}none of its {what}s is running: {states}."


def _anti_affinity(service: Service, facts: ClusterFacts, where: str) -> Iterator[str]:
    if not service.anti_affinity:
        return
    count = facts.totals.nodes if facts.totals else None
    if facts.nodes is not None:
        count = len({node.host for node in facts.nodes if node.running})
    if count is not None and service.instances > count:
        yield (
            f"{where}anti_affinity: {service.instances} instances need as many nodes; the cluster has {count} running. "
            f"Set at most {count} instances."
        )


def _nearest(name: str, known: Iterable[str]) -> str:
    rows = sorted(known)
    longer = [row for row in rows if row.startswith(f"{name}.") or name.startswith(f"{row}.")]
    near = longer or difflib.get_close_matches(name, rows, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    more = f" and {len(rows) - 10} more" if len(rows) > 10 else ""
    return f"it has: {', '.join(rows[:10]) or 'none'}{more}."
