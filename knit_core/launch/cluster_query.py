"""Queries the facts about the cluster that a launch needs: in parallel, and only those that the specification requires."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from knit_core.config import Config, HadoopConf
from knit_core.errors import ConfigError, KnitError, PreflightError, RequestRefused
from knit_core.hadoop.cluster import Cluster
from knit_core.hadoop.resource_manager import ResourceManager, or_empty
from knit_core.model.clock import Clock
from knit_core.model.cluster_facts import (
    DEFAULT_CLASSPATH,
    ClusterFacts,
    ClusterFeatures,
    ClusterTotals,
    NewApplication,
    Queue,
)
from knit_core.preflight import node_problems, version_problem
from knit_core.spec import ApplicationSpec

T = TypeVar("T")
_VARIABLE = re.compile(r"\$\{([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+)\}")  # has a dot, so it is not a variable of bash
# Hadoop's version and the distribution's: 3.1.1.3.1.4.0-315
_HDP = re.compile(r"\d+\.\d+\.\d+\.(\d+\.\d+\.\d+\.\d+-\d+)")
_NODES = 60.0  # seconds; by default NodeManagers retry a stopped ResourceManager every 30 s
_ALL_NODES = 2.0  # seconds without a further NodeManager
_LATE_NODES = 35.0  # seconds after the ResourceManager's start until which NodeManagers come back, by the same default


def query_cluster(
    cluster: Cluster, spec: ApplicationSpec, progress: Callable[[str], None], *, checks: bool = True
) -> ClusterFacts:
    """Facts for one launch, with a new application id. Waits for NodeManagers when none is running, or, soon after a start of
    the ResourceManager, too few for the launch.

    Args:
        cluster: the connections.
        spec: what to run.
        progress: called with one line when it waits.
        checks: also query what only preflight needs: queues, totals, nodes, labels.

    Raises:
        PreflightError: the cluster's Hadoop is too old.
        ServiceError: the ResourceManager did not answer.
    """
    rm, config = cluster.resourcemanager, cluster.config
    facts, started = _query(rm, config, spec, checks)
    new = facts.new
    if facts.totals is not None and not facts.totals.settled and await_nodes(rm, progress, cluster.clock):
        facts, started = _query(rm, config, spec, checks)
    for totals in _later_totals(rm, facts, started, cluster.clock):
        if not any(node_problems(spec, facts, rm.address)):
            break
        if totals is None:
            progress("the ResourceManager has just been started: waiting for more NodeManagers")
        elif totals != facts.totals:
            facts, _ = _query(rm, config, spec, checks)
    return replace(facts, new=new)


def _later_totals(
    rm: ResourceManager, facts: ClusterFacts, started: float, clock: Clock
) -> Iterator[ClusterTotals | None]:
    """None, and then twice a second the cluster's totals, until the ResourceManager is `_LATE_NODES` seconds old.

    Args:
        rm: the ResourceManager.
        facts: without totals, or without any that can change, there are none.
        started: Unix time of its start.
        clock: for its age and for pauses.
    """
    if facts.totals is None or not facts.totals.settled or not 0 <= clock.time() - started < _LATE_NODES:
        return
    yield None
    while clock.time() - started < _LATE_NODES:
        clock.sleep(0.5)
        totals = _or_none(rm.totals)
        if totals is None:
            return
        yield totals


def _query(rm: ResourceManager, config: Config, spec: ApplicationSpec, checks: bool) -> tuple[ClusterFacts, float]:
    """The facts, and the Unix time of the ResourceManager's start; 0 when it does not tell."""
    with ThreadPoolExecutor(6) as pool:
        new = pool.submit(rm.new_application)
        conf = pool.submit(config.learn)
        queues = pool.submit(or_empty, rm.queues) if checks else None
        totals = pool.submit(_or_none, rm.totals) if checks else None
        labels = pool.submit(_or_none, rm.node_labels) if checks and _labels(spec) else None
        info = pool.submit(_info, rm)
        fresh = new.result()  # first, so that a wrong address is reported by this call
        check_version(rm, str(info.result().get("hadoopVersion") or ""))
        strict = any(s.racks and not s.relax_locality for s in spec.services.values())  # the plan names their nodes
        nodes = pool.submit(_or_none, rm.nodes) if strict or (checks and _needs_nodes(spec, fresh)) else None
        features = features_of(conf.result())
        facts = cluster_facts(
            config,
            fresh,
            tuple(queues.result()) if queues else (),
            totals.result() if totals else None,
        )
        node_rows, label_rows = nodes.result() if nodes else None, labels.result() if labels else None
    facts = replace(
        facts,
        classpath=_resolved(facts.classpath, config, rm),
        features=features,
        nodes=None if node_rows is None else tuple(node_rows),
        labels=None if label_rows is None else tuple(label_rows),
    )
    started = info.result().get("startedOn")
    return facts, float(started) / 1000 if isinstance(started, (int, float)) else 0.0


def _info(rm: ResourceManager) -> dict[str, Any]:
    """`ResourceManager.info`; empty when it does not tell."""
    try:
        return rm.info()
    except KnitError:
        return {}


def check_version(rm: ResourceManager, version: str | None = None) -> None:
    """Check that Knit can run on the cluster's Hadoop.

    Args:
        rm: the ResourceManager.
        version: Hadoop's version; None: ask for it.

    Raises:
        PreflightError: it is too old.
    """
    problem = version_problem(str(_info(rm).get("hadoopVersion") or "") if version is None else version, rm.address)
    if problem:
        raise PreflightError([problem])


def _resolved(classpath: str, config: Config, rm: ResourceManager) -> str:
    """The classpath with the values of Hadoop's own variables (`${hdp.version}`).

    bash expands the classpath on the nodes, and fails at a name with a dot.

    Raises:
        ConfigError: the value of a variable is not known.
    """

    def value(found: re.Match[str]) -> str:
        setting = config.hadoop_property(found[1])
        text = setting.value if setting is not None else ""
        if not text and found[1] == "hdp.version":
            version = _HDP.fullmatch(str(rm.info().get("hadoopVersion") or ""))
            text = version[1] if version else ""
        if not text or "$" in text:
            raise ConfigError(
                f"The classpath of Hadoop's jars on the nodes has {found[0]} in it, and neither Hadoop's configuration nor "
                f"the ResourceManager defines that variable. Set KNIT_APPLICATION_CLASSPATH to the classpath on the nodes "
                f"(the output of `yarn classpath` on one of them); now it is {classpath}"
            )
        return text

    return _VARIABLE.sub(value, classpath)


def await_nodes(rm: ResourceManager, progress: Callable[[str], None], clock: Clock) -> bool:
    """Wait until NodeManagers are running. After a restart of the ResourceManager they register one after another.

    Args:
        rm: the ResourceManager.
        progress: called with one line.
        clock: for deadlines and pauses.

    Returns:
        Whether there are any. Ends when their number has not changed for `_ALL_NODES` seconds, or after `_NODES` seconds.
    """
    progress(f"no NodeManager is running (was the ResourceManager restarted?): waiting at most {_NODES:.0f} s for one")
    begun = since = clock.monotonic()
    seen = ClusterTotals(0, 0, 0)
    while (now := clock.monotonic()) - begun < _NODES:
        totals = _or_none(rm.totals)
        if totals is None:
            return True  # not known: only administrators may read the totals
        if totals != seen:
            seen, since = totals, now
        if seen.settled and now - since >= _ALL_NODES:
            return True
        clock.sleep(0.5)
    return seen.nodes > 0


def _labels(spec: ApplicationSpec) -> set[str]:
    return {spec.master_label, *(service.node_label for service in spec.services.values())} - {""}


def _needs_nodes(spec: ApplicationSpec, new: NewApplication) -> bool:
    """Whether the list of nodes is needed: a query of thousands of nodes is expensive.

    It is not needed for a container of at most half the maximum allocation and without placement constraints.
    """
    return bool(_labels(spec)) or any(
        service.nodes
        or service.racks
        or service.anti_affinity
        or service.all_resources
        or 2 * service.memory > new.memory
        or 2 * service.vcores > new.vcores
        for service in spec.services.values()
    )


def cluster_facts(
    config: Config, new: NewApplication, queues: tuple[Queue, ...], totals: ClusterTotals | None
) -> ClusterFacts:
    """Facts from the configuration and the ResourceManager's replies."""
    calculator = config.cluster_property("yarn.scheduler.capacity.resource-calculator", "DefaultResourceCalculator")
    ports = (config.get("api_ports") or "0").split("-")
    filesystem, webhdfs = config.filesystem.value, config.container_namenodes.value
    return ClusterFacts(
        new=new,
        queues=queues,
        totals=totals,
        user=config.user,
        filesystem=filesystem,
        webhdfs=tuple(webhdfs.split(",")),
        staging=config.staging,
        simple=config.cluster_property("hadoop.security.authentication", "simple") == "simple",
        classpath=config.get("application_classpath")
        or config.cluster_property("yarn.application.classpath", DEFAULT_CLASSPATH),
        default_queue=config.get("queue") or "default",
        resource_types=new.resources,
        counts_vcores="Dominant" in calculator,
        java=config.get("java") or "",
        api_ports=(int(ports[0]), int(ports[-1])),
        ca=_ca(config, webhdfs),
        class_sharing=config.class_sharing,
    )


def _ca(config: Config, webhdfs: str) -> str:
    """The certificates with which containers verify HDFS's https addresses; empty for http."""
    ca = (config.get("ca") or "").strip()
    if not any(url.startswith("https:") for url in webhdfs.split(",")):
        return ""
    return "false" if ca.lower() == "false" else ca


def features_of(conf: HadoopConf | None) -> ClusterFeatures:
    """Features that are on in the ResourceManager's configuration.

    Properties of the nodes (Docker, rolling log aggregation) are read from it too: most clusters have one file for all.

    Args:
        conf: None when only administrators may read it: then nothing is known.
    """
    if conf is None:
        return ClusterFeatures()

    def on(name: str) -> bool | None:
        return None if conf.get(name) is None else conf.boolean(name)

    def number(name: str) -> int | None:
        try:
            return int(conf.get(name) or "")
        except ValueError:
            return None

    attempts = number("yarn.resourcemanager.am.global.max-attempts") or number("yarn.resourcemanager.am.max-attempts")
    expiry = number("yarn.resourcemanager.rm.container-allocation.expiry-interval-ms")
    rolling = number("yarn.nodemanager.log-aggregation.roll-monitoring-interval-seconds")
    return ClusterFeatures(
        node_labels=on("yarn.node-labels.enabled"),
        opportunistic=on("yarn.resourcemanager.opportunistic-container-allocation.enabled"),
        docker=_docker(conf),
        acls=on("yarn.acl.enable"),
        aggregation=on("yarn.log-aggregation-enable"),
        rolling=None if rolling is None else rolling > 0,
        priority=number("yarn.cluster.max-application-priority"),
        attempts=attempts,
        tags=number("yarn.resourcemanager.application.max-tags"),
        tag_length=number("yarn.resourcemanager.application.max-tag.length"),
        expiry=None if expiry is None else expiry / 1000,
        placement=_placement(conf),
    )


# These choose a queue only for applications that name none, unless the mappings are to override names.
_MAPPING_RULES = ("user-group", "app-name", "MappingPlacementRule")


def _placement(conf: HadoopConf) -> bool | None:
    """True if rules may choose another queue than the named one; None when it is not known.

    It is never certain that they may not: the Capacity Scheduler's own file, with the queue mappings, is not part of `/conf`.
    """
    rules = (conf.get("yarn.scheduler.queue-placement-rules") or "").split(",")
    own = [rule for rule in map(str.strip, rules) if rule and not rule.endswith(_MAPPING_RULES)]
    switches = (
        "yarn.scheduler.capacity.queue-mappings-override.enable",
        "yarn.resourcemanager.submission-preprocessor.enabled",
    )
    return bool(own) or any(map(conf.boolean, switches)) or None


def _docker(conf: HadoopConf) -> bool | None:
    runtimes = conf.get("yarn.nodemanager.runtime.linux.allowed-runtimes")
    executor = conf.get("yarn.nodemanager.container-executor.class")
    if runtimes is None or executor is None:
        return None
    return "docker" in {name.strip() for name in runtimes.split(",")} and "LinuxContainerExecutor" in executor


def _or_none(call: Callable[[], T]) -> T | None:
    """None when only administrators may read it: an unknown fact refuses no launch."""
    try:
        return call()
    except (RequestRefused, KeyError, TypeError):
        return None


__all__ = ["await_nodes", "check_version", "cluster_facts", "features_of", "query_cluster"]
