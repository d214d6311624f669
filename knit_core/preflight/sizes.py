"""Looks at how much is asked for: by one container, and by all of them."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import TopologicalSorter

from knit_core.model.cluster_facts import ClusterFacts, Node
from knit_core.model.units import counted, show_memory
from knit_core.preflight.queues import queue_of
from knit_core.spec import ApplicationSpec, Condition, Service


def too_large(spec: ApplicationSpec, facts: ClusterFacts, address: str) -> Iterator[str]:
    """Containers that are larger than what the scheduler gives to one, or than every node."""
    for name, service in spec.services.items():
        where = "" if name == "main" else f"{name}: "
        found = list(_limits(service, spec, facts, address, where))
        yield from found or _nodes(service, facts, where)
    most = _most_memory(spec, facts)[0]
    if spec.memory_of_master > most:
        yield (
            f"master_memory: the ApplicationMaster should get {show_memory(spec.memory_of_master)}; this cluster gives at "
            f"most {show_memory(most)} to one container."
        )


def _most_memory(spec: ApplicationSpec, facts: ClusterFacts) -> tuple[int, str]:
    """MiB for one container, and who says so."""
    queue = queue_of(spec, facts)
    if queue is not None and 0 < queue.memory < facts.new.memory:
        return queue.memory, f"the queue {queue.path}"
    return facts.new.memory, "yarn.scheduler.maximum-allocation-mb"


def _most_vcores(spec: ApplicationSpec, facts: ClusterFacts) -> tuple[int, str]:
    queue = queue_of(spec, facts)
    if queue is not None and 0 < queue.vcores < facts.new.vcores:
        return queue.vcores, f"the queue {queue.path}"
    return facts.new.vcores, "yarn.scheduler.maximum-allocation-vcores"


def _limits(service: Service, spec: ApplicationSpec, facts: ClusterFacts, address: str, where: str) -> Iterator[str]:
    memory, told_by = _most_memory(spec, facts)
    if service.memory > memory:
        yield (
            f"{where}{show_memory(service.memory)} per container is more than this cluster gives to one "
            f"({show_memory(memory)}: {told_by} at {address}). Ask for at most {show_memory(memory)}."
        )
    vcores, told_by = _most_vcores(spec, facts)
    if service.vcores > vcores:
        yield (
            f"{where}{service.vcores} vcores per container are more than this cluster gives to one "
            f"({vcores}: {told_by} at {address}). Ask for at most {vcores}."
        )
    for resource, amount in service.all_resources.items():
        if resource not in facts.resource_types:
            known = ", ".join(sorted(facts.resource_types)) or "none besides memory and vcores"
            yield f"{where}this cluster has no resource type {resource!r} (it has: {known})."
        elif amount > facts.resource_types[resource]:
            limit = facts.resource_types[resource]
            yield f"{where}{amount} {resource} per container is more than this cluster gives to one ({limit})."


def candidates(service: Service, facts: ClusterFacts) -> list[Node]:
    """Running nodes on which a service's containers may start, as far as names and labels tell."""
    found = [node for node in facts.nodes or () if node.running]
    if service.node_label:
        found = [node for node in found if node.label == service.node_label]
    if (service.nodes or service.racks) and not service.relax_locality:
        found = [node for node in found if node.host in service.nodes or node.rack in service.racks]
    return found


def _nodes(service: Service, facts: ClusterFacts, where: str) -> Iterator[str]:
    """Each limit alone may be kept, and still no node has everything together."""
    nodes = candidates(service, facts)
    if not nodes or any(_fits(service, node, facts) for node in nodes):
        return
    wanted = [show_memory(service.memory), *([f"{service.vcores} vcores"] if facts.counts_vcores else [])]
    wanted += [f"{amount} {name}" for name, amount in service.all_resources.items()]
    largest = sorted(nodes, key=lambda node: (_share(service, node), node.memory, node.vcores), reverse=True)[:3]
    sizes = "; ".join(
        ", ".join(
            [
                f"{node.host} {show_memory(node.memory)}",
                *([f"{node.vcores} vcores"] if facts.counts_vcores else []),
                *(f"{node.resources.get(name, 0)} {name}" for name in service.all_resources),
            ]
        )
        for node in largest
    )
    yield f"{where}no running node has {', '.join(wanted)} for one container (the nearest: {sizes})."


def _fits(service: Service, node: Node, facts: ClusterFacts) -> bool:
    return (
        service.memory <= node.memory
        and (service.vcores <= node.vcores or not facts.counts_vcores)
        and all(amount <= node.resources.get(name, 0) for name, amount in service.all_resources.items())
    )


def _share(service: Service, node: Node) -> int:
    """How many of the named resources a node has enough of."""
    return sum(amount <= node.resources.get(name, 0) for name, amount in service.all_resources.items())


def too_many(spec: ApplicationSpec, facts: ClusterFacts, address: str) -> Iterator[str]:
    """More than the whole cluster has; services that wait for the success of others are counted apart from these."""
    totals = facts.totals
    if totals is None:
        return
    if totals.nodes == 0:
        yield f"The cluster at {address} has no running NodeManager: nothing can be started (see: yarn node -list -all)."
        return
    together = max(_stages(spec), key=lambda services: sum(s.memory * s.instances for s in services))
    count = sum(s.instances for s in together)
    memory = sum(s.memory * s.instances for s in together) + spec.memory_of_master
    vcores = max(sum(s.vcores * s.instances for s in services) for services in _stages(spec)) + 1
    if memory > totals.memory:
        yield (
            f"{count} containers with the ApplicationMaster need {show_memory(memory)}; all "
            f"{counted(totals.nodes, 'node')} of the cluster together have {show_memory(totals.memory)}. "
            "Ask for fewer or smaller ones."
        )
    if facts.counts_vcores and vcores > totals.vcores:
        yield (
            f"{count} containers with the ApplicationMaster need {vcores} vcores; all {counted(totals.nodes, 'node')} "
            f"of the cluster together have {totals.vcores}. Ask for fewer."
        )
    for name in sorted({name for s in spec.services.values() for name in s.all_resources}):
        wanted = max(sum(s.all_resources.get(name, 0) * s.instances for s in services) for services in _stages(spec))
        there = sum(node.resources.get(name, 0) for node in facts.nodes or () if node.running)
        if facts.nodes is not None and wanted > there:
            yield f"All containers need {wanted} {name}; all nodes of the cluster together have {there}. Ask for fewer."


def _stages(spec: ApplicationSpec) -> list[list[Service]]:
    """Services that may run at the same time, by how many others must have ended well before them."""
    stages: dict[str, int] = {}
    for name in TopologicalSorter({name: set(s.depends_on) for name, s in spec.services.items()}).static_order():
        waits = spec.services[name].depends_on.items()
        stages[name] = max((stages[other] + (how is Condition.SUCCEEDED) for other, how in waits), default=0)
    found: dict[int, list[Service]] = {}
    for name, service in spec.services.items():
        found.setdefault(stages[name], []).append(service)
    return list(found.values())
