"""Checks features that are off in the cluster, and its limits: YARN would silently ignore most such settings."""

from __future__ import annotations

from collections.abc import Iterator

from knit_core.model.cluster_facts import ClusterFacts
from knit_core.model.units import show_seconds
from knit_core.preflight.queues import queue_of
from knit_core.spec import ApplicationSpec


def problems(spec: ApplicationSpec, facts: ClusterFacts, tags: tuple[str, ...] = ()) -> Iterator[str]:
    """Settings that the cluster does not support; an unknown feature (None) is no problem."""
    yield from _services(spec, facts)
    yield from _application(spec, facts, (*spec.tags, *tags))
    yield from _logs(spec, facts)


def _services(spec: ApplicationSpec, facts: ClusterFacts) -> Iterator[str]:
    features = facts.features
    for name, service in spec.services.items():
        where = "" if name == "main" else f"{name}: "
        if service.opportunistic and features.opportunistic is False:
            yield (
                f"{where}opportunistic: opportunistic containers are off in this cluster "
                "(yarn.resourcemanager.opportunistic-container-allocation.enabled is false)."
            )
        if service.docker and features.docker is False:
            yield (
                f"{where}docker: the nodes do not run Docker containers, according to the ResourceManager's configuration "
                "(yarn.nodemanager.runtime.linux.allowed-runtimes has no docker, or the LinuxContainerExecutor is not "
                "used). If the nodes have another configuration, launch without checks."
            )
        if service.gang and features.expiry is not None and service.gang >= features.expiry:
            yield (
                f"{where}gang: YARN takes unused containers back after {show_seconds(features.expiry)} "
                "(yarn.resourcemanager.rm.container-allocation.expiry-interval-ms): it would take the first ones back before "
                "the last one is allocated. Set a shorter time."
            )


def _application(spec: ApplicationSpec, facts: ClusterFacts, tags: tuple[str, ...]) -> Iterator[str]:
    features = facts.features
    if (spec.acls.view or spec.acls.modify) and features.acls is False:
        yield (
            "acls: this cluster does not enforce ACLs (yarn.acl.enable is false): all users may view and end its applications."
        )
    if spec.priority is not None and features.priority is not None and spec.priority > features.priority:
        yield (
            f"priority {spec.priority} is higher than this cluster's maximum ({features.priority}: "
            "yarn.cluster.max-application-priority); YARN would use the maximum."
        )
    if "attempts" in spec.model_fields_set and features.attempts is not None and spec.attempts > features.attempts:
        yield (
            f"attempts: this cluster starts an ApplicationMaster at most {features.attempts} times "
            f"(yarn.resourcemanager.am.max-attempts), not {spec.attempts}."
        )
    if features.tags is not None and len(tags) > features.tags:
        yield (
            f"tags: this cluster allows {features.tags} for an application (yarn.resourcemanager.application.max-tags); "
            f"with Knit's own there are {len(tags)}: {', '.join(tags)}."
        )
    for tag in tags:
        if features.tag_length is not None and len(tag) > features.tag_length:
            yield (
                f"tags: {tag!r} has {len(tag)} characters, this cluster allows {features.tag_length} "
                "(yarn.resourcemanager.application.max-tag.length)."
            )
    queue = queue_of(spec, facts)
    if queue is not None and 0 < queue.lifetime < spec.lifetime:
        yield (
            f"lifetime: the queue {queue.path} ends applications after {show_seconds(queue.lifetime)} "
            f"(maximum-application-lifetime), before the {show_seconds(spec.lifetime)} of the specification."
        )


def _logs(spec: ApplicationSpec, facts: ClusterFacts) -> Iterator[str]:
    features, logs = facts.features, spec.logs
    if any(logs.submission().values()) and features.aggregation is False:
        yield "logs: this cluster does not aggregate logs (yarn.log-aggregation-enable is false): patterns have no effect."
    elif (logs.rolled_include or logs.rolled_exclude) and features.rolling is False:
        yield (
            "logs: this cluster does not collect logs while applications run "
            "(yarn.nodemanager.log-aggregation.roll-monitoring-interval-seconds is off, according to the ResourceManager's "
            "configuration): rolled_include and rolled_exclude have no effect."
        )
