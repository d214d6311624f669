"""Checks the resources of one container, and of all containers."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import TopologicalSorter

from knit_core.model.cluster_facts import ClusterFacts, Node
from knit_core.model.units import counted, show_memory
from knit_core.preflight.queues import queue_of
from knit_core.spec import ApplicationSpec, Condition, Service


def too_large(spec: ApplicationSpec, facts: ClusterFacts, address: str) -> Iterator[str]:
    """Containers that exceed the scheduler's maximum for one container, or every node."""
    for name, service in spec.services.items():
        where = "" if name == "main" else f"{name}: "
        found = list(_limits(service, spec, facts, address, where))
        yield from found or _nodes(service, facts, where)
    most = _most_memory(spec, facts)[0]
    if spec.memory_of_master > most:
        yield (
            f"master_memory: the ApplicationMaster needs {show_memory(spec.memory_of_master)}; this cluster's maximum for one "
            f"container is {show_memory(most)}."
        )


def node_problems(spec: ApplicationSpec, facts: ClusterFacts, address: str) -> Iterator[str]:
    """Those problems that further nodes may solve."""
    for service in spec.services.values():
        yield from _nodes(service, facts, "")
    yield from too_many(spec, facts, address)


def _most_memory(spec: ApplicationSpec, facts: ClusterFacts) -> tuple[int, str]:
    """Maximum MiB of one container, and the setting or queue that limits it."""
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
    memory, limited_by = _most_memory(spec, facts)
    if service.memory > memory:
        yield (
            f"{where}{show_memory(service.memory)} per container is more than this cluster's maximum "
            f"({show_memory(memory)}: {limited_by} at {address}). Set at most {show_memory(memory)}."
        )
    vcores, limited_by = _most_vcores(spec, facts)
    if service.vcores > vcores:
        yield (
            f"{where}{service.vcores} vcores per container are more than this cluster's maximum "
            f"({vcores}: {limited_by} at {address}). Set at most {vcores}."
        )
    for resource, amount in service.all_resources.items():
        if resource not in facts.resource_types:
            known = ", ".join(sorted(facts.resource_types)) or "none besides memory and vcores"
            yield f"{where}this cluster has no resource type {resource!r} (it has: {known})."
        elif amount > facts.resource_types[resource]:
            limit = facts.resource_types[resource]
            yield f"{where}{amount} {resource} per container is more than this cluster's maximum ({limit})."


def candidates(service: Service, facts: ClusterFacts) -> list[Node]:
    """Running nodes on which a service's containers may start, by names and labels."""
    found = [node for node in facts.nodes or () if node.running]
    if service.node_label:
        found = [node for node in found if node.label == service.node_label]
    if (service.nodes or service.racks) and not service.relax_locality:
        found = [node for node in found if node.host in service.nodes or node.rack in service.racks]
    return found


def _nodes(service: Service, facts: ClusterFacts, where: str) -> Iterator[str]:
    """A problem if no single node has all resources of a container, although each limit is met."""
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
    yield f"{where}no running node has {', '.join(wanted)} for one container (the largest: {sizes})."


def _fits(service: Service, node: Node, facts: ClusterFacts) -> bool:
    return (
        service.memory <= node.memory
        and (service.vcores <= node.vcores or not facts.counts_vcores)
        and all(amount <= node.resources.get(name, 0) for name, amount in service.all_resources.items())
    )


def _share(service: Service, node: Node) -> int:
    """The number of named resources of which a node has enough."""
    return sum(amount <= node.resources.get(name, 0) for name, amount in service.all_resources.items())


def too_many(spec: ApplicationSpec, facts: ClusterFacts, address: str) -> Iterator[str]:
    """Problems if all containers need more than the cluster has.

    Services that wait for the success of others are counted separately, since they do not run at the same time.
    """
    totals = facts.totals
    if totals is None:
        return
    if totals.nodes == 0:
        yield f"The cluster at {address} has no running NodeManager: no container can start (see: yarn node -list -all)."
        return
    together = max(_stages(spec), key=lambda services: sum(s.memory * s.instances for s in services))
    count = sum(s.instances for s in together)
    memory = sum(s.memory * s.instances for s in together) + spec.memory_of_master
    vcores = max(sum(s.vcores * s.instances for s in services) for services in _stages(spec)) + 1
    if memory > totals.memory:
        yield (
            f"{count} containers with the ApplicationMaster need {show_memory(memory)}; all "
            f"{counted(totals.nodes, 'node')} of the cluster together have {show_memory(totals.memory)}. "
            "Reduce their number or size."
        )
    if facts.counts_vcores and vcores > totals.vcores:
        yield (
            f"{count} containers with the ApplicationMaster need {vcores} vcores; all {counted(totals.nodes, 'node')} "
            f"of the cluster together have {totals.vcores}. Reduce their number."
        )
    for name in sorted({name for s in spec.services.values() for name in s.all_resources}):
        wanted = max(sum(s.all_resources.get(name, 0) * s.instances for s in services) for services in _stages(spec))
        there = sum(node.resources.get(name, 0) for node in facts.nodes or () if node.running)
        if facts.nodes is not None and wanted > there:
            yield f"All containers need {wanted} {name}; all nodes of the cluster together have {there}. Reduce their number."


def _stages(spec: ApplicationSpec) -> list[list[Service]]:
    """Groups of services that may run at the same time, by the number of services that must have succeeded before."""
    stages: dict[str, int] = {}
    for name in TopologicalSorter({name: set(s.depends_on) for name, s in spec.services.items()}).static_order():
        waits = spec.services[name].depends_on.items()
        stages[name] = max((stages[other] + (how is Condition.SUCCEEDED) for other, how in waits), default=0)
    found: dict[int, list[Service]] = {}
    for name, service in spec.services.items():
        found.setdefault(stages[name], []).append(service)
    return list(found.values())
