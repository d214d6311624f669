"""What is asked of a cluster, and what its answers mean."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from knit_core.config import HadoopConf, load_config
from knit_core.errors import ConfigError, NotAuthorized
from knit_core.hadoop.http.retry import NEVER, RetryPolicy
from knit_core.hadoop.resource_manager import ResourceManager
from knit_core.launch.cluster_query import features_of, query_cluster
from knit_core.model.cluster_facts import ClusterFacts, ClusterFeatures, ClusterTotals, NewApplication
from knit_core.spec import application_spec

DEFAULTS = {
    "yarn.node-labels.enabled": "false",
    "yarn.resourcemanager.opportunistic-container-allocation.enabled": "false",
    "yarn.nodemanager.runtime.linux.allowed-runtimes": "default",
    "yarn.nodemanager.container-executor.class": "org.apache.hadoop.yarn.server.nodemanager.DefaultContainerExecutor",
    "yarn.acl.enable": "false",
    "yarn.log-aggregation-enable": "false",
    "yarn.nodemanager.log-aggregation.roll-monitoring-interval-seconds": "-1",
    "yarn.cluster.max-application-priority": "0",
    "yarn.resourcemanager.am.max-attempts": "2",
    "yarn.resourcemanager.application.max-tags": "10",
    "yarn.resourcemanager.application.max-tag.length": "100",
    "yarn.resourcemanager.rm.container-allocation.expiry-interval-ms": "600000",
}


def test_hadoops_defaults() -> None:
    assert features_of(HadoopConf(DEFAULTS)) == ClusterFeatures(
        node_labels=False, opportunistic=False, docker=False, acls=False, aggregation=False, rolling=False, priority=0,
        attempts=2, tags=10, tag_length=100, expiry=600.0,
    )  # fmt: skip


def test_switched_on() -> None:
    conf = DEFAULTS | {name: "true" for name, value in DEFAULTS.items() if value == "false"}
    conf |= {
        "yarn.nodemanager.runtime.linux.allowed-runtimes": "default, docker",
        "yarn.nodemanager.container-executor.class": "org.apache.hadoop.yarn.server.nodemanager.LinuxContainerExecutor",
        "yarn.nodemanager.log-aggregation.roll-monitoring-interval-seconds": "3600",
        "yarn.resourcemanager.am.global.max-attempts": "5",
    }
    found = features_of(HadoopConf(conf))
    assert (found.node_labels, found.opportunistic, found.docker, found.acls) == (True, True, True, True)
    assert (found.aggregation, found.rolling, found.attempts) == (True, True, 5)


def test_what_is_not_told_is_not_known() -> None:
    assert features_of(None) == ClusterFeatures()
    assert features_of(HadoopConf({})) == ClusterFeatures()
    assert features_of(HadoopConf({"yarn.cluster.max-application-priority": "many"})).priority is None


class _Manager(ResourceManager):
    """Answers without a network, and keeps what was asked."""

    def __init__(self, replies: dict[str, Any]) -> None:
        self.replies, self.asked = replies, []

    def new_application(self) -> NewApplication:
        return NewApplication("application_1_0001", 8192, 8, {})

    def totals(self) -> ClusterTotals:
        return ClusterTotals(8192, 8, 1)

    def info(self, _retry: Any = None) -> dict[str, Any]:
        return {"hadoopVersion": "3.4.2"}

    @property
    def address(self) -> str:
        return "http://rm"

    @property
    def http(self) -> Any:
        return self

    @http.setter
    def http(self, value: Any) -> None:
        pass

    def get_json(self, path: str, **_options: Any) -> Any:
        self.asked.append(path.rpartition("/")[2])
        reply = self.replies[self.asked[-1]]
        if isinstance(reply, Exception):
            raise reply
        return reply


NODE = {
    "nodeHostName": "n1", "rack": "/r", "state": "RUNNING", "usedMemoryMB": 1, "availMemoryMB": 9,
    "usedVirtualCores": 1, "availableVirtualCores": 3,
}  # fmt: skip
QUEUES = {
    "scheduler": {
        "schedulerInfo": {
            "type": "capacityScheduler",
            "queueName": "root",
            "queues": {
                "queue": [
                    {
                        "type": "capacitySchedulerLeafQueueInfo", "queuePath": "root.a", "queueName": "a",
                        "state": "RUNNING", "nodeLabels": ["ssd"], "maxApplicationLifetime": 60,
                        "maximumAllocation": {"memory": 512, "vCores": 2},
                        "capacities": {"queueCapacitiesByPartition": [{"partitionName": "ssd", "absoluteMaxCapacity": 50}]},
                    },
                    {"type": "capacitySchedulerLeafQueueInfo", "queuePath": "root.b", "queueName": "b"},
                ]
            },
        }
    }
}  # fmt: skip
CONFIG = load_config(
    "http://rm", {"filesystem": "hdfs://nn", "namenode": "http://nn"}, {"HOME": "/x"}, user="alice", local=False
)


def _ask(replies: dict[str, Any], **wish: Any) -> tuple[Any, _Manager]:
    rm = _Manager({"scheduler": QUEUES, **replies})
    return _query(rm, **wish), rm


def _query(rm: Any, config: Any = CONFIG, *, checks: bool = True, **wish: Any) -> ClusterFacts:
    cluster: Any = SimpleNamespace(resourcemanager=rm, config=config, clock=time)
    return query_cluster(cluster, application_spec("x", **wish), print, checks=checks)


def test_nodes_and_labels_are_asked_for_only_when_something_depends_on_them() -> None:
    facts, rm = _ask({})
    assert rm.asked == ["scheduler"]
    assert (facts.nodes, facts.labels) == (None, None)
    for wish in (
        {"nodes": ["n1"]},
        {"racks": "/r"},
        {"anti_affinity": True},
        {"gpus": 1},
        {"memory": "5 GiB"},
        {"vcores": 5},
    ):
        _facts, rm = _ask({"nodes": {"nodes": {"node": [NODE]}}}, **wish)
        assert sorted(rm.asked) == ["nodes", "scheduler"], wish
    for wish in ({"node_label": "ssd"}, {"master_label": "ssd"}):
        facts, rm = _ask({"nodes": {"nodes": None}, "get-node-labels": {}}, **wish)
        assert sorted(rm.asked) == ["get-node-labels", "nodes", "scheduler"], wish
        assert (facts.nodes, facts.labels) == ((), ())


def test_nothing_is_asked_without_checks() -> None:
    rm = _Manager({})
    facts = _query(rm, node_label="a", checks=False)
    assert (rm.asked, facts.queues) == ([], ())
    rm = _Manager({"nodes": {"nodes": {"node": [NODE]}}})
    facts = _query(rm, racks="/r", checks=False)  # the plan needs them
    assert [node.host for node in facts.nodes or ()] == ["n1"]


def test_what_only_administrators_may_see_is_not_known() -> None:
    refused = NotAuthorized("no", status=403)
    facts, _rm = _ask({"scheduler": refused, "nodes": refused, "get-node-labels": refused}, node_label="ssd")
    assert (facts.queues, facts.nodes, facts.labels, facts.features) == ((), None, None, ClusterFeatures())


@pytest.mark.parametrize("rows", [{"name": "ssd"}, [{"name": "ssd"}, {"name": "gpu"}]])
def test_one_label_comes_without_a_list(rows: Any) -> None:
    facts, _rm = _ask({"nodes": {"nodes": None}, "get-node-labels": {"nodeLabelInfo": rows}}, node_label="ssd")
    assert facts.labels == (("ssd",) if isinstance(rows, dict) else ("ssd", "gpu"))


def test_a_nodes_size_with_and_without_named_resources() -> None:
    rows = [{"name": "memory-mb", "value": 10}, {"name": "vcores", "value": 4}, {"name": "yarn.io/gpu", "value": 2}]
    total = {"memory": 10, "vCores": 4, "resourceInformations": {"resourceInformation": rows}}
    new = {**NODE, "totalResource": total, "nodeLabels": ["ssd"]}
    facts, _rm = _ask({"nodes": {"nodes": {"node": [NODE, new]}}}, nodes=["n1"])
    old, current = facts.nodes
    assert (old.memory, old.vcores, old.resources, old.label, old.running) == (10, 4, {}, "", True)
    assert (current.memory, current.vcores, current.resources, current.label) == (10, 4, {"yarn.io/gpu": 2}, "ssd")


def test_a_queues_limits() -> None:
    facts, _rm = _ask({})
    a, b = [queue for queue in facts.queues if queue.leaf]
    assert (a.path, a.labels, a.shares, a.lifetime, a.memory, a.vcores) == (
        "root.a",
        ("ssd",),
        {"ssd": 50.0},
        60,
        512,
        2,
    )
    assert (b.labels, b.shares, b.lifetime, b.memory) == ((), {}, 0, 0)


TOTALS = {"clusterMetrics": {"totalMB": 8192, "totalVirtualCores": 8, "activeNodes": 1}}


class _Wire(_Manager):
    """The calls as they are, over replies."""

    totals, info = ResourceManager.totals, ResourceManager.info  # type: ignore[assignment]

    def get_json(self, path: str, **options: Any) -> Any:
        name = path.rpartition("/")[2]
        usual = {"metrics": TOTALS, "info": {"clusterInfo": {"haState": "ACTIVE"}}}
        return usual[name] if name in usual and name not in self.replies else super().get_json(path, **options)

    def policy(self, _retry: Any) -> RetryPolicy:
        return NEVER

    def instead(self, _base: str) -> str:
        return ""  # nobody listens


def _single(found: Any) -> Any:
    """A reply as Hadoop's older JSON writes it: lists of one element without brackets, numbers as texts."""
    if isinstance(found, dict):
        return {key: _single(value) for key, value in found.items()}
    if isinstance(found, list):
        return _single(found[0]) if len(found) == 1 else [_single(each) for each in found]
    return str(found) if isinstance(found, int) and not isinstance(found, bool) else found


APP = {
    "id": "application_1_0001", "state": "RUNNING", "finalStatus": "UNDEFINED", "allocatedMB": 512, "allocatedVCores": 1,
    "runningContainers": 1, "startedTime": 5, "finishedTime": 0, "priority": 2, "memorySeconds": 7, "progress": 50,
    "resourceRequests": [{"resourceName": "*", "numContainers": 3, "capability": {"memory": 128, "vCores": 1}}],
}  # fmt: skip
GPUS = {"resourceInformation": [{"name": "memory-mb", "value": 9}, {"name": "yarn.io/gpu", "value": 2}]}
REPLIES: dict[str, Any] = {
    "apps": {"apps": {"app": [APP]}},
    "nodes": {"nodes": {"node": [{**NODE, "nodeLabels": ["ssd"], "totalResource": {"resourceInformations": GPUS}}]}},
    "get-node-labels": {"nodeLabelInfo": [{"name": "ssd"}]},
    "application_1_0001": {"app": APP},
    "appattempts": {"appAttempts": {"appAttempt": [{"id": 1}]}},
    "metrics": {"clusterMetrics": {"totalMB": 100, "totalVirtualCores": 4, "activeNodes": 1}},
    "scheduler": QUEUES,
}
CALLS: dict[str, Any] = {
    "apps": lambda rm: rm.apps(pending=True),
    "nodes": lambda rm: rm.nodes(),
    "get-node-labels": lambda rm: rm.node_labels(),
    "application_1_0001": lambda rm: [(row["resourceName"], int(row["numContainers"])) for row in rm.pending("application_1_0001")],
    "appattempts": lambda rm: [int(row["id"]) for row in rm.attempts("application_1_0001")],
    "metrics": lambda rm: [rm.totals()],
    "scheduler": lambda rm: [*rm.queues(), *rm.queue_headroom()],
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_list_of_one_means_the_same_without_brackets(name: str) -> None:
    whole = CALLS[name](_Wire(REPLIES))
    assert whole
    assert CALLS[name](_Wire({name: _single(REPLIES[name])})) == whole


@pytest.mark.parametrize("nothing", [None, "", {}, []])
def test_an_empty_list_is_written_in_many_ways(nothing: Any) -> None:
    for name, outer in (
        ("apps", "apps"),
        ("nodes", "nodes"),
        ("appattempts", "appAttempts"),
        ("get-node-labels", "nodeLabelInfo"),
    ):
        for reply in ({outer: nothing}, {}, nothing):
            assert CALLS[name](_Wire({name: reply})) == []
    for reply in ({"app": {**APP, "resourceRequests": nothing}}, {"app": nothing}):
        assert CALLS["application_1_0001"](_Wire({"application_1_0001": reply})) == []


HDP = "$HADOOP_CONF_DIR,/usr/hdp/${hdp.version}/hadoop/lib/*,${JAVA_HOME}/x"


def _classpath(conf: dict[str, str], version: str) -> str:
    config = load_config(
        "http://rm", {"filesystem": "hdfs://nn", "namenode": "http://nn"}, {"HOME": "/x"}, user="a", local=False
    )
    config.remote = HadoopConf({"yarn.application.classpath": HDP, **conf})
    rm = _Wire({"scheduler": QUEUES, "info": {"clusterInfo": {"hadoopVersion": version}}})
    return _query(rm, config).classpath


def test_hadoops_variables_in_the_classpath_are_put_in() -> None:
    whole = HDP.replace("${hdp.version}", "3.1.4.0-315")
    assert _classpath({"hdp.version": "3.1.4.0-315"}, "3.1.1") == whole
    assert _classpath({}, "3.1.1.3.1.4.0-315") == whole
    for conf in ({}, {"hdp.version": "${other.one}"}):
        with pytest.raises(
            ConfigError, match=r"has \$\{(hdp.version|other.one)\} in it.*KNIT_APPLICATION_CLASSPATH.*yarn classpath"
        ):
            _classpath(conf, "3.1.1")
