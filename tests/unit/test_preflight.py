"""Preflight names everything that the cluster cannot do, with its limits, before anything happens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from knit_core.errors import PreflightError, QueueRefused
from knit_core.model.cluster_facts import ClusterFacts, ClusterFeatures, ClusterTotals, NewApplication, Node, Queue
from knit_core.preflight import check_spec, version_problem
from knit_core.spec import application_spec

QUEUES = (
    Queue("root", "root", False, True),
    Queue("default", "root.default", True, True, labels=("ssd", "gpu", "none"), shares={"ssd": 100.0, "gpu": 0.0}),
    Queue("small", "root.small", True, True, labels=(), lifetime=3600, memory=1024, vcores=2),
    Queue("teams", "root.teams", False, True),
    Queue("science", "root.teams.science", True, True),
    Queue("old", "root.old", True, False),
)
FACTS = ClusterFacts(
    NewApplication("application_1_0001", 2048, 4, {}), QUEUES, ClusterTotals(4096, 8, 2), "alice", "hdfs://nn", (), "/s"
)


def _says(facts: ClusterFacts = FACTS, local: tuple[str, ...] = (), **short: Any) -> list[str]:
    with pytest.raises(PreflightError) as caught:
        check_spec(application_spec("x", **short), facts, address="http://rm:8088", local=local)
    return caught.value.problems


def test_what_fits_passes() -> None:
    for queue in (None, "default", "root.default", "science", "root.teams.science"):
        check_spec(application_spec("x", queue=queue, memory=2048, vcores=4), FACTS)
    check_spec(application_spec("x", queue="any"), replace(FACTS, queues=(), totals=None))


@pytest.mark.parametrize(
    ("queue", "says"),
    [
        ("sciense", "There is no queue 'sciense' at http://rm:8088; did you mean 'root.teams.science'? it has: root.default, "),
        ("teams", "only contains other queues; submit to one of: root.teams.science."),
        ("root", "submit to one of: root.default, root.small, root.teams.science."),
        (
            "old",
            "The queue 'old' is stopped: it accepts no applications now; an administrator can start it, or use another queue: "
            "root.default, root.small, root.teams.science.",
        ),
    ],
)  # fmt: skip
def test_a_queue_alone(queue: str, says: str) -> None:
    with pytest.raises(QueueRefused) as caught:
        check_spec(application_spec("x", queue=queue), FACTS, address="http://rm:8088")
    assert says in str(caught.value)
    assert "Nothing was uploaded or submitted." in str(caught.value)


@pytest.mark.parametrize(
    ("version", "refused"),
    [("2.10.2", True), ("2.6.0-cdh5.16.2", True), ("3.0.0", False), ("3.1.1.3.1.4.0-315", False), ("3.5.0", False),
     ("10.0.0", False), ("", False), ("?", False), ("trunk", False)],
)  # fmt: skip
def test_hadoops_version(version: str, refused: bool) -> None:
    problem = version_problem(version, "http://rm:8088")
    assert bool(problem) == refused
    if refused:
        assert problem.startswith(
            f"The cluster at http://rm:8088 runs Hadoop {version}, and Knit needs Hadoop 3 or newer"
        )


def test_everything_at_once() -> None:
    problems = _says(
        local=("a.txt does not exist",), queue="none", memory="3 GiB", vcores=5, resources={"yarn.io/gpu": 1}
    )
    assert len(problems) == 5
    for says in ("no queue 'none'", "a.txt", "3 GiB per container", "5 vcores per container", "'yarn.io/gpu'"):
        assert sum(says in problem for problem in problems) == 1
    assert "Set at most 2 GiB." in " ".join(problems)
    known = replace(FACTS, resource_types={"yarn.io/gpu": 1})
    assert "2 yarn.io/gpu per container is more" in _says(known, resources={"yarn.io/gpu": 2})[0]


def test_the_whole_cluster() -> None:
    assert "4 containers with the ApplicationMaster need 4.2 GiB; all 2 nodes" in _says(instances=4)[0]
    check_spec(application_spec("x", instances=8, memory=16), FACTS)
    assert "need 9 vcores" in _says(replace(FACTS, counts_vcores=True), instances=8, memory=16)[0]
    assert "no running NodeManager" in _says(replace(FACTS, totals=ClusterTotals(0, 0, 0)))[0]


NODES = (
    Node("n1.example.org", "/r1", "RUNNING", 4096, 8),
    Node("n2.example.org", "/r1", "RUNNING", 2048, 16, {"yarn.io/gpu": 2}, label="ssd"),
    Node("n3.example.org", "/r2", "RUNNING", 2048, 4, {"yarn.io/gpu": 4, "fpga": 1}, label="gpu"),
    Node("n4.example.org", "/r3", "LOST", 8192, 8),
)
KNOWN = replace(
    FACTS,
    nodes=NODES,
    labels=("ssd", "gpu", "none"),
    resource_types={"yarn.io/gpu": 4, "fpga": 1},
    totals=ClusterTotals(8192, 28, 3),
)
OFF = ClusterFeatures(
    node_labels=False, opportunistic=False, docker=False, acls=False, aggregation=False, rolling=False, priority=0,
    attempts=1, tags=2, tag_length=5, expiry=600.0,
)  # fmt: skip
ON = ClusterFeatures(
    node_labels=True, opportunistic=True, docker=True, acls=True, aggregation=True, rolling=True, priority=10,
    attempts=9, tags=10, tag_length=100, expiry=600.0,
)  # fmt: skip
# what is asked for, and what is said where it is switched off
WISHES: list[tuple[dict[str, Any], str]] = [
    ({"node_label": "ssd"}, "node_label 'ssd': this cluster has no node labels (yarn.node-labels.enabled is false)"),
    ({"master_label": "ssd"}, "master_label 'ssd': this cluster has no node labels"),
    ({"opportunistic": True}, "opportunistic: opportunistic containers are off in this cluster "
                              "(yarn.resourcemanager.opportunistic-container-allocation.enabled is false)"),
    ({"docker": "a/b"}, "docker: the nodes do not run Docker containers, according to the ResourceManager's configuration"),
    ({"acls": {"view": "bob"}}, "acls: this cluster does not enforce ACLs (yarn.acl.enable is false)"),
    ({"acls": {"modify": "bob"}}, "acls: this cluster does not enforce ACLs"),
    ({"priority": 5}, "priority 5 is higher than this cluster's maximum (0: yarn.cluster.max-application-priority)"),
    ({"attempts": 2}, "attempts: this cluster starts an ApplicationMaster at most 1 times"),
    ({"tags": ["a", "b", "c"]}, "tags: this cluster allows 2 for an application"),
    ({"tags": ["longer"]}, "tags: 'longer' has 6 characters, this cluster allows 5"),
    ({"logs": {"exclude": "x"}}, "logs: this cluster does not aggregate logs (yarn.log-aggregation-enable is false)"),
    ({"gang": 600}, "gang: YARN takes unused containers back after 10 min"),
]  # fmt: skip


@pytest.mark.parametrize(("wish", "says"), WISHES)
def test_what_is_switched_off(wish: dict[str, Any], says: str) -> None:
    (problem,) = _says(replace(KNOWN, features=OFF), **wish)
    assert problem.startswith(says)


@pytest.mark.parametrize("wish", [wish for wish, _says in WISHES if wish != {"gang": 600}])
def test_what_is_on_or_not_known_is_not_refused(wish: dict[str, Any]) -> None:
    check_spec(application_spec("x", **wish), replace(KNOWN, features=ON))
    check_spec(application_spec("x", **wish), replace(KNOWN, features=ClusterFeatures()))


def test_everything_that_is_off_at_once() -> None:
    wishes: dict[str, Any] = {}
    for wish, _text in WISHES:
        wishes.update(wish)
    wishes |= {"opportunistic": False, "acls": {"view": "x"}}
    problems = _says(replace(KNOWN, features=OFF), **wishes)
    assert len(problems) == 9, problems


def test_what_nobody_asked_for_is_not_refused() -> None:
    """Two attempts are the default; a cluster that knows only one gets one."""
    check_spec(application_spec("x"), replace(KNOWN, features=OFF))
    check_spec(application_spec(application_spec("x"), queue="default"), replace(KNOWN, features=OFF))
    assert replace(KNOWN, features=OFF).attempts(2) == 1
    assert KNOWN.attempts(2) == 2


def test_rolled_patterns_without_rolling() -> None:
    says = _says(replace(KNOWN, features=replace(ON, rolling=False)), logs={"rolled_include": "x"})
    assert says[0].startswith("logs: this cluster does not collect logs while applications run")
    check_spec(application_spec("x", logs={"include": "x"}), replace(KNOWN, features=replace(ON, rolling=False)))


def test_knits_own_tags_count() -> None:
    with pytest.raises(PreflightError, match="with Knit's own there are 3: a, knit, knit-key-x"):
        check_spec(
            application_spec("x", tags=["a"]),
            replace(KNOWN, features=replace(ON, tags=2)),
            tags=("knit", "knit-key-x"),
        )


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"node_label": "sdd"}, "node_label: this cluster has no node label 'sdd'; did you mean 'ssd'?"),
        ({"master_label": "qqq"}, "master_label: this cluster has no node label 'qqq'; it has: gpu, none, ssd."),
        ({"node_label": "ssd", "queue": "small"}, "the queue root.small may not use nodes with the label 'ssd' (it may use: none)"),
        ({"node_label": "none"}, "node_label: no running node has the label 'none'."),
        ({"node_label": "gpu"}, "node_label: the queue root.default has no share of the nodes with the label 'gpu'."),
        ({"nodes": ["n1"]}, "there is no node 'n1' at http://rm:8088; did you mean 'n1.example.org'?"),
        ({"nodes": ["n5.example.org"]}, "there is no node 'n5.example.org' at http://rm:8088; did you mean"),
        ({"nodes": ["zzz"]}, "there is no node 'zzz' at http://rm:8088; it has: n1.example.org, n2.example.org"),
        ({"nodes": ["n4.example.org"]}, "none of its nodes is running: n4.example.org is LOST."),
        ({"racks": ["/r9"]}, "there is no rack '/r9' at http://rm:8088; did you mean '/r"),
        ({"racks": ["/r3"]}, "none of its racks is running: n4.example.org is LOST."),
        ({"anti_affinity": True, "instances": 4, "memory": 64},
         "anti_affinity: 4 instances need as many nodes; the cluster has 3 running."),
    ],
)  # fmt: skip
def test_places_that_are_not_there(wish: dict[str, Any], says: str) -> None:
    (problem,) = _says(replace(KNOWN, features=ON), **wish)
    assert says in problem


def test_places_that_are_there() -> None:
    for wish in (
        {"node_label": "ssd"},
        {"nodes": ["n1.example.org", "n4.example.org"]},
        {"racks": ["/r1", "/r3"]},
        {"anti_affinity": True, "instances": 3, "memory": 64},
        {"node_label": "anything"},
    ):
        known = KNOWN if wish != {"node_label": "anything"} else replace(KNOWN, labels=None, nodes=None, queues=())
        check_spec(application_spec("x", **wish), replace(known, features=ON))
    with pytest.raises(PreflightError, match="has 3 running"):
        check_spec(application_spec("x", anti_affinity=True, instances=4, memory=64), replace(KNOWN, nodes=None))


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"memory": 2048, "gpus": 2, "resources": {"fpga": 1}, "vcores": 8},
         "no running node has 2 GiB, 8 vcores, 1 fpga, 2 yarn.io/gpu for one container (the largest: "
         "n3.example.org 2 GiB, 4 vcores, 1 fpga, 4 yarn.io/gpu;"),
        ({"memory": 4096, "gpus": 1}, "no running node has 4 GiB, 1 vcores, 1 yarn.io/gpu for one container"),
        ({"memory": 4096, "nodes": ["n2.example.org"]}, "no running node has 4 GiB, 1 vcores for one container"),
        ({"memory": 4096, "node_label": "ssd"}, "no running node has 4 GiB"),
    ],
)  # fmt: skip
def test_one_container_larger_than_every_node(wish: dict[str, Any], says: str) -> None:
    facts = replace(KNOWN, features=ON, counts_vcores=True, new=replace(KNOWN.new, memory=8192, vcores=16))
    facts = replace(facts, totals=ClusterTotals(99999, 99, 3))
    (problem,) = _says(facts, **wish)
    assert says in problem
    check_spec(application_spec("x", memory=4096, nodes=["n2.example.org", "n1.example.org"]), facts)
    check_spec(application_spec("x", memory=4096, nodes=["n2.example.org"], relax_locality=True), facts)


def test_gpus_are_a_resource_type() -> None:
    assert "this cluster has no resource type 'yarn.io/gpu'" in _says(FACTS, gpus=1)[0]
    assert "5 yarn.io/gpu per container" in _says(KNOWN, gpus=5)[0]
    assert "All containers need 8 yarn.io/gpu; all nodes of the cluster together have 6. Reduce their number." in _says(
        KNOWN, gpus=1, instances=8, memory=64
    )


def test_the_queues_own_limits() -> None:
    problems = _says(KNOWN, queue="small", memory="1.5 GiB", vcores=3, lifetime="2 h", master_memory="2 GiB")
    assert "(1 GiB: the queue root.small at http://rm:8088)" in problems[0]
    assert "(2: the queue root.small at http://rm:8088)" in problems[1]
    assert problems[2].startswith(
        "master_memory: the ApplicationMaster needs 2 GiB; this cluster's maximum for one container is 1 GiB"
    )
    assert problems[3].startswith(
        "lifetime: the queue root.small ends applications after 1 h (maximum-application-lifetime)"
    )
    check_spec(application_spec("x", queue="small", lifetime=3600, memory=1024), KNOWN)


def test_services_that_come_after_anothers_success_need_no_room_beside_it() -> None:
    service = {"command": "x", "memory": 2048, "instances": 2}
    spec = {"services": {"a": service, "b": {**service, "depends_on": {"a": "succeeded"}}}, "master_memory": 64}
    check_spec(application_spec({**spec}), replace(KNOWN, totals=ClusterTotals(4200, 8, 3)))
    spec["services"]["b"]["depends_on"] = ["a"]  # type: ignore[index]
    with pytest.raises(PreflightError, match="4 containers with the ApplicationMaster need"):
        check_spec(application_spec(spec), replace(KNOWN, totals=ClusterTotals(4200, 8, 3)))
