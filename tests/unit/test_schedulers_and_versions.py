"""What Capacity and Fair Schedulers, the Router of a federation and Hadoop's versions answer, and what it means."""

from __future__ import annotations

import copy
from contextlib import closing
from types import SimpleNamespace
from typing import Any, cast

import pytest

from knit_core.config import HadoopConf
from knit_core.errors import (
    ConfigError,
    ConnectionFailed,
    PreflightError,
    RequestRefused,
    ServiceUnavailable,
    UnexpectedReply,
)
from knit_core.hadoop.connection_check import check_connection
from knit_core.hadoop.http import Endpoint, HttpService, RetryPolicy, SimpleAuth
from knit_core.hadoop.http.routes import Route
from knit_core.hadoop.resource_manager import ResourceManager, subclusters
from knit_core.launch.cluster_query import features_of
from knit_core.launch.launcher import Launch, find_earlier
from knit_core.model.cluster_facts import Queue
from knit_core.spec import application_spec
from tests.unit.test_clusterfacts import CONFIG, QUEUES, _Manager, _query, _Wire
from tests.unit.test_http import Reply, Server, _remote

FAIR = {
    "scheduler": {"schedulerInfo": {"type": "fairScheduler", "rootQueue": {"queueName": "root", "childQueues": {"queue": [
        {"queueName": "root.prod", "childQueues": {
            "queue": {"type": "fairSchedulerLeafQueueInfo", "queueName": "root.prod.etl"}}},
        {"queueName": "root.users"},
    ]}}}}
}  # fmt: skip


def test_queues_that_are_made_when_they_are_named() -> None:
    found = {queue.path: queue for queue in _Manager({"scheduler": FAIR}).queues()}
    assert list(found) == ["root", "root.prod", "root.prod.etl", "root.users"]
    assert [path for path, queue in found.items() if queue.leaf] == ["root.prod.etl"]
    assert [path for path, queue in found.items() if queue.makes] == ["root", "root.prod", "root.users"]
    assert all(queue.by_path for queue in found.values())
    users = {"queueName": "users", "queuePath": "root.users", "autoCreationEligibility": "flexible"}
    capacity = {"type": "capacityScheduler", "queueName": "root", "queues": {"queue": users}}
    queues = _Manager({"scheduler": {"scheduler": {"schedulerInfo": capacity}}}).queues()
    assert [(queue.path, queue.leaf, queue.makes, queue.by_path) for queue in queues] == [
        ("root", False, False, False),
        ("root.users", False, True, False),
    ]


def _leaf(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "capacitySchedulerLeafQueueInfo", "queueName": name, "state": "RUNNING", **more}


def _capacity(*children: dict[str, Any], **root: Any) -> list[Queue]:
    info = {"type": "capacityScheduler", "queueName": "root", **root, "queues": {"queue": list(children)}}
    return _Manager({"scheduler": {"scheduler": {"schedulerInfo": info}}}).queues()


def test_hadoop_3_3_reports_no_paths_and_finds_queues_by_the_last_part() -> None:
    """CapacitySchedulerQueueInfo of 3.3: queuePath is transient, and there are no queueType and autoCreationEligibility."""
    users = {"queueName": "users", "state": "RUNNING", "autoCreateChildQueueEnabled": True, "queues": {"queue": []}}
    teams = {"queueName": "teams", "state": "RUNNING", "autoCreateChildQueueEnabled": False,
             "queues": {"queue": [_leaf("science", autoCreateChildQueueEnabled=False)]}}  # fmt: skip
    queues = _capacity(users, teams)
    assert [queue.path for queue in queues] == ["root", "root.users", "root.teams", "root.teams.science"]
    assert all(queue.by_name for queue in queues)
    assert [(queue.path, queue.by_mapping) for queue in queues if queue.makes] == [("root.users", True)]
    assert not any(queue.by_name for queue in _capacity(_leaf("a", queuePath="root.a"), queuePath="root"))


def test_parents_below_which_yarn_creates_queues() -> None:
    """By CapacitySchedulerInfoHelper of 3.4: off, legacy (a ManagedParentQueue) or flexible; a leaf has "off"."""
    parent = {"queueType": "parent", "creationMethod": "static", "mode": "weight", "state": "RUNNING", "queues": {}}
    queues = _capacity(
        {**parent, "queueName": "old", "queuePath": "root.old", "autoCreationEligibility": "legacy"},
        {**parent, "queueName": "new", "queuePath": "root.new", "autoCreationEligibility": "flexible"},
        {**parent, "queueName": "none", "queuePath": "root.none", "autoCreationEligibility": "off"},
        _leaf("a", queuePath="root.a", queueType="leaf", autoCreationEligibility="off", state="DRAINING"),
        autoCreationEligibility="off",
        queuePath="root",
    )
    assert [(queue.name, queue.makes, queue.by_mapping) for queue in queues] == [
        ("root", False, False), ("old", True, True), ("new", True, False), ("none", False, False), ("a", False, False),
    ]  # fmt: skip
    assert [queue.name for queue in queues if queue.leaf] == ["a"]
    assert [(queue.state, queue.running) for queue in queues if queue.leaf] == [("DRAINING", False)]


def test_a_fair_queues_largest_container() -> None:
    scheduler = copy.deepcopy(FAIR)
    prod, _users = scheduler["scheduler"]["schedulerInfo"]["rootQueue"]["childQueues"]["queue"]
    prod["childQueues"]["queue"]["maxContainerAllocation"] = {"memory": 1024, "vCores": 2}
    found = {queue.path: queue for queue in _Manager({"scheduler": scheduler}).queues()}
    assert (found["root.prod.etl"].memory, found["root.prod.etl"].vcores, found["root.users"].memory) == (1024, 2, 0)


def test_the_router_of_a_federation_stands_for_its_cluster() -> None:
    info = {
        "id": "0",
        "startedOn": "0",
        "subCluster": {"subClusterId": "sc1", "state": "STARTED", "hadoopVersion": "3.4.2"},
    }
    scheduler = {**QUEUES["scheduler"]["schedulerInfo"], "type": None, "@type": "capacityScheduler"}
    rm = _Wire({"info": info, "scheduler": {"subCluster": {"schedulerInfo": scheduler}}})
    assert (rm.info()["hadoopVersion"], rm.info()["subClusterId"]) == ("3.4.2", "sc1")
    assert [queue.path for queue in rm.queues()] == ["root", "root.a", "root.b"]
    several = _Wire(
        {"info": {"subCluster": [info["subCluster"], {"subClusterId": "sc2"}]}, "scheduler": {"subCluster": [{}, {}]}}
    )
    assert several.info()["state"] == "STARTED"
    assert (several.queues(), several.queue_headroom()) == ([], [])
    assert (subclusters(rm.info()), subclusters(several.info())) == (["sc1"], ["sc1", "sc2"])
    assert subclusters(_Wire({"info": {"clusterInfo": {"id": 1}}}).info()) == []
    with pytest.raises(ServiceUnavailable, match="Router of a YARN federation, and none of its clusters is active"):
        _Wire({"info": {"id": "0", "startedOn": "0"}}).info()
    with pytest.raises(UnexpectedReply, match="is not a YARN ResourceManager"):
        _Wire({"info": {"about": "something else"}}).info()


class _Version(_Manager):
    """A cluster that runs this version of Hadoop."""

    def __init__(self, version: Any) -> None:
        super().__init__({"scheduler": QUEUES})
        self.version = version

    def info(self, _retry: Any = None) -> dict[str, Any]:
        if isinstance(self.version, Exception):
            raise self.version
        return {"hadoopVersion": self.version}


@pytest.mark.parametrize("checks", [True, False])
def test_a_hadoop_that_is_too_old_is_refused_before_anything_is_uploaded(checks: bool) -> None:
    with pytest.raises(PreflightError) as caught:
        _query(_Version("2.10.2"), checks=checks)
    assert str(caught.value) == (
        "The cluster at http://rm runs Hadoop 2.10.2, and Knit needs Hadoop 3 or newer (it is tested with 3.3, 3.4 and 3.5): "
        "its ApplicationMaster cannot run on this cluster. Nothing was uploaded or submitted."
    )
    for version in ("3.3.6", "", None, UnexpectedReply("no")):
        assert _query(_Version(version), checks=checks).new.id == "application_1_0001"


@pytest.mark.parametrize(("version", "raised"), [("2.10.2", PreflightError), ("3.4.2", ConnectionFailed)])
def test_an_old_hadoop_is_told_when_its_hdfs_was_not_found(version: str, raised: type[Exception]) -> None:
    """Its WebHDFS has another port, and a launch with a key begins there."""

    def newest(_key: str) -> None:
        raise ConnectionFailed("no answer from the NameNode at http://rm:9870")

    cluster: Any = SimpleNamespace(resourcemanager=_Version(version))
    storage: Any = SimpleNamespace(ledger=SimpleNamespace(newest=newest))
    with pytest.raises(raised):
        find_earlier(Launch(cluster, storage, application_spec("x"), print, key="k"))


@pytest.mark.parametrize(
    ("conf", "placement"),
    [
        ({}, None),
        ({"yarn.scheduler.queue-placement-rules": "user-group, app-name"}, None),
        ({"yarn.scheduler.queue-placement-rules": "user-group,org.example.Ours"}, True),
        ({"yarn.resourcemanager.submission-preprocessor.enabled": "true"}, True),
        ({"yarn.resourcemanager.submission-preprocessor.enabled": "false"}, None),
        ({"yarn.scheduler.capacity.queue-mappings-override.enable": "true"}, True),
    ],
)
def test_rules_that_may_choose_another_queue(conf: dict[str, str], placement: bool | None) -> None:
    assert features_of(HadoopConf(conf)).placement is placement


NO_SUBCLUSTER = (503, "text/plain", "No active SubCluster available to submit the request.")


@pytest.mark.parametrize(
    "reply", [NO_SUBCLUSTER, (503, "application/json", _remote("YarnRuntimeException", NO_SUBCLUSTER[2]))]
)
def test_a_router_that_takes_no_applications_is_told_at_once(reply: Reply) -> None:
    with closing(Server(reply)) as server:
        http = HttpService(Endpoint("ResourceManager", (server.address,), SimpleAuth("alice")), RetryPolicy(budget=5.0))
        rm = ResourceManager(http)
        with closing(http):
            for call in (rm.new_application, lambda: rm.submit({"application-id": "application_1_0001"})):
                asked = len(server.asked)
                with pytest.raises(RequestRefused) as caught:
                    call()
                assert f"{server.address} is the Router of a YARN federation." in str(caught.value)
                assert "give the address of the ResourceManager of one of its clusters" in str(caught.value)
                assert not caught.value.transient
                assert len(server.asked) == asked + 1  # repeating it does not help


def _connection(info: dict[str, Any]) -> list[str]:
    """What `knit doctor` says of a cluster."""
    rm = SimpleNamespace(info=lambda: info, address="http://rm:8089", http=SimpleNamespace(route=lambda: Route("")))
    hdfs = SimpleNamespace(home=lambda: "/user/alice", status=lambda _path: None, address="http://nn:9870")
    return check_connection(cast("Any", SimpleNamespace(resourcemanager=rm, hdfs=hdfs, config=CONFIG)))


def test_doctor_names_a_router_and_its_clusters() -> None:
    row = {"subClusterId": "sc1", "state": "STARTED", "hadoopVersion": "3.4.2"}
    assert _connection({"subCluster": row, **row})[0] == (
        "Router of a YARN federation http://rm:8089 STARTED, Hadoop 3.4.2 (argument resourcemanager); it stands for 1 cluster: sc1"
    )
    assert _connection(row)[0] == "ResourceManager http://rm:8089 STARTED, Hadoop 3.4.2 (argument resourcemanager)"


def test_doctor_refuses_a_hadoop_that_is_too_old() -> None:
    with pytest.raises(ConfigError, match=r"runs Hadoop 2\.10\.2, and Knit needs Hadoop 3 or newer"):
        _connection({"state": "STARTED", "hadoopVersion": "2.10.2"})
