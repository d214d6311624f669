"""Looks at what the cluster has switched off, and at its limits: YARN would take most of it without a word and do nothing."""

from __future__ import annotations

from collections.abc import Iterator

from knit_core.model.cluster_facts import ClusterFacts
from knit_core.model.units import show_seconds
from knit_core.preflight.queues import queue_of
from knit_core.spec import ApplicationSpec


def problems(spec: ApplicationSpec, facts: ClusterFacts, tags: tuple[str, ...] = ()) -> Iterator[str]:
    """What is asked for and cannot be had; a switch that is not known (None) refuses nothing."""
    yield from _services(spec, facts)
    yield from _application(spec, facts, (*spec.tags, *tags))
    yield from _logs(spec, facts)


def _services(spec: ApplicationSpec, facts: ClusterFacts) -> Iterator[str]:
    on = facts.features
    for name, service in spec.services.items():
        where = "" if name == "main" else f"{name}: "
        if service.opportunistic and on.opportunistic is False:
            yield (
                f"{where}opportunistic: this cluster has no opportunistic containers "
                "(yarn.resourcemanager.opportunistic-container-allocation.enabled is false)."
            )
        if service.docker and on.docker is False:
            yield (
                f"{where}docker: the nodes do not run Docker containers, by the ResourceManager's configuration "
                "(yarn.nodemanager.runtime.linux.allowed-runtimes has no docker, or the LinuxContainerExecutor is not "
                "used). Where the nodes are configured otherwise, launch without checks."
            )
        if service.gang and on.expiry is not None and service.gang >= on.expiry:
            yield (
                f"{where}gang: YARN takes unused containers back after {show_seconds(on.expiry)} "
                "(yarn.resourcemanager.rm.container-allocation.expiry-interval-ms): the first would be gone before the "
                "last is there. Ask for less time."
            )


def _application(spec: ApplicationSpec, facts: ClusterFacts, tags: tuple[str, ...]) -> Iterator[str]:
    on = facts.features
    if (spec.acls.view or spec.acls.modify) and on.acls is False:
        yield (
            "acls: this cluster does not look at ACLs (yarn.acl.enable is false): everybody may see and end its applications."
        )
    if spec.priority is not None and on.priority is not None and spec.priority > on.priority:
        yield (
            f"priority {spec.priority} is more than this cluster knows ({on.priority}: "
            "yarn.cluster.max-application-priority); YARN would take it for that."
        )
    if "attempts" in spec.model_fields_set and on.attempts is not None and spec.attempts > on.attempts:
        yield (
            f"attempts: this cluster starts an ApplicationMaster at most {on.attempts} times "
            f"(yarn.resourcemanager.am.max-attempts), not {spec.attempts}."
        )
    if on.tags is not None and len(tags) > on.tags:
        yield (
            f"tags: this cluster takes {on.tags} for an application (yarn.resourcemanager.application.max-tags); "
            f"with Knit's own there are {len(tags)}: {', '.join(tags)}."
        )
    for tag in tags:
        if on.tag_length is not None and len(tag) > on.tag_length:
            yield (
                f"tags: {tag!r} has {len(tag)} characters, this cluster takes {on.tag_length} "
                "(yarn.resourcemanager.application.max-tag.length)."
            )
    queue = queue_of(spec, facts)
    if queue is not None and 0 < queue.lifetime < spec.lifetime:
        yield (
            f"lifetime: the queue {queue.path} ends applications after {show_seconds(queue.lifetime)} "
            f"(maximum-application-lifetime), before the {show_seconds(spec.lifetime)} that were asked for."
        )


def _logs(spec: ApplicationSpec, facts: ClusterFacts) -> Iterator[str]:
    on, logs = facts.features, spec.logs
    if any(logs.submission().values()) and on.aggregation is False:
        yield "logs: this cluster does not aggregate logs (yarn.log-aggregation-enable is false): patterns say nothing."
    elif (logs.rolled_include or logs.rolled_exclude) and on.rolling is False:
        yield (
            "logs: this cluster does not collect logs while applications run "
            "(yarn.nodemanager.log-aggregation.roll-monitoring-interval-seconds is off, by the ResourceManager's "
            "configuration): rolled_include and rolled_exclude say nothing."
        )
