"""Every field of a specification by its effect, on a cluster where all that can be switched on is on.

One cluster of its own: two nodes on two racks, ACLs, node labels, opportunistic containers, two countable resource types,
logs collected while applications run, ordinary users only (nobody administers queues).
"""

from __future__ import annotations

import json
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from knit_core import Application, Knit, Outcome
from knit_core.errors import ApplicationFailed, ApplicationKilled, NotAuthorized, PreflightError
from knit_core.launch import launcher, submission
from knit_core.local import LocalCluster
from knit_core.logs.aggregated.log_files import AggregatedLogs
from knit_core.spec import application_spec
from tests.cluster_harness import QUEUES, USERS, eventually
from tests.fields_harness import (
    LICENSE,
    NODE_1,
    NODE_2,
    http,
    live,
    master_process,
    placed,
    readable,
    rm,
    running,
    seen,
    settings,
    until_runs,
)

pytestmark = pytest.mark.cluster
SMALL = {"memory": 64}


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Takes the place of the shared cluster in this module."""
    with tempfile.TemporaryDirectory(prefix="knit-fields-") as folder:
        own = LocalCluster(Path(folder) / "state")
        try:
            own.up(nodes=2, queues=QUEUES, settings=settings(Path(folder)))
            for user in (*USERS, "carol"):
                own.add_user(user)
            rm(own.resourcemanager_url, "add-node-labels", {"nodeLabelInfo": [{"name": "ssd", "exclusivity": True}]})
            yield own
        finally:
            own.down(delete=True)


# -- what the ResourceManager knows of an application -------------------------------------------------------------------


@pytest.fixture(scope="module")
def shown(cluster: LocalCluster) -> Iterator[Application]:
    """One application with many fields."""
    spec = {
        "name": "all of it", "queue": "science", "priority": 7, "tags": ["Mine", "two words"], "lifetime": "1 h",
        "master_memory": "300 MiB", "acls": {"view": ["bob"]},
        "logs": {"exclude": "secret.*", "rolled_include": "rolled.*"},
        "services": {"main": {
            "command": 'cd "${LOG_DIRS%%,*}"; for name in secret.log kept.log rolled.log; do echo $name > $name; done; sleep 600',
            **SMALL,
        }},
    }  # fmt: skip
    with Knit(cluster.resourcemanager_url, user="alice") as knit, running(knit, spec) as app:
        until_runs(app, 1)
        yield app


def test_queue_name_and_priority(shown: Application) -> None:
    found = seen(shown)
    assert (found["queue"], found["name"], found["priority"]) == ("root.science", "all of it", 7)


def test_tags_find_it(shown: Application) -> None:
    for tag in ("mine", "TWO words"):
        assert [report.id for report in shown.cluster.resourcemanager.apps(tags=[tag])] == [shown.id]


def test_master_memory(shown: Application) -> None:
    """Rounded up to the scheduler's step of 64 MiB."""
    attempt = shown.id.replace("application", "appattempt") + "_000001"
    rows = rm(shown.cluster.resourcemanager.address, f"apps/{shown.id}/appattempts/{attempt}/containers", user="alice")[
        "container"
    ]
    assert [int(row["allocatedMB"]) for row in rows if row["containerId"].endswith("_01_000001")] == [320]


def test_yarn_knows_the_lifetime(shown: Application) -> None:
    (row,) = seen(shown)["timeouts"]["timeout"]
    assert 3500 < row["remainingTimeInSeconds"] <= 3600 + submission._LIFETIME_MARGIN


def test_who_may_view(shown: Application) -> None:
    """The owner and bob see its containers and logs; carol does not."""
    attempt = shown.id.replace("application", "appattempt") + "_000001"
    (row,) = live(shown)
    log = f"http://{row.node_http}/ws/v1/node/containers/{row.yarn}/logs/kept.log"
    for user in ("alice", "bob"):
        assert rm(shown.cluster.resourcemanager.address, f"apps/{shown.id}/appattempts/{attempt}/containers", user=user)
        eventually(lambda user=user: readable(log, user), 20, f"{user} reads the log")
    with pytest.raises(HTTPError) as caught:
        rm(shown.cluster.resourcemanager.address, f"apps/{shown.id}/appattempts/{attempt}/containers", user="carol")
    assert b"carol does not have privilege to see this application" in caught.value.read()
    with pytest.raises(HTTPError) as caught:
        http(log, "carol", accept="text/plain")
    assert b"carol" in caught.value.read()


def test_who_may_see_its_page(shown: Application) -> None:
    """The ResourceManager's proxy says who comes; the ApplicationMaster looks at the ACL."""
    page = shown.report().tracking_url.rstrip("/") + "/ui/state.json"
    for user in ("alice", "bob"):
        assert shown.id.encode() in http(page, user)
    with pytest.raises(HTTPError) as caught:
        http(page, "carol")
    with caught.value as refusal:
        assert refusal.code == 403


def test_log_patterns(shown: Application, cluster: LocalCluster) -> None:
    """A rolled file is kept while the application runs, an excluded one never."""

    def kept() -> str:
        logs = AggregatedLogs(shown.cluster.hdfs, shown.cluster.config, shown.id, "alice")
        names = [file.path for folder in logs.folders() for file in shown.cluster.hdfs.list(folder)]
        return b"".join(shown.cluster.hdfs.read(name) or b"" for name in names).decode("latin-1")

    eventually(lambda: "rolled.log" in kept(), 30, "the rolled log on HDFS while the application runs")
    assert not shown.report().ended
    assert "kept.log\n" not in kept()
    shown.kill("enough")
    eventually(lambda: "kept.log" in kept(), 30, "the other logs after its end")
    assert "secret.log" not in kept()


def test_who_may_modify(knit: Knit, cluster: LocalCluster) -> None:
    with (
        Knit(cluster.resourcemanager_url, user="bob") as bob,
        Knit(cluster.resourcemanager_url, user="carol") as carol,
        running(knit, "sleep 600", **SMALL) as closed,
        running(knit, {"acls": {"view": "carol", "modify": "bob"}, "services": {"main": {"command": "sleep 600", **SMALL}}}) as app,
    ):  # fmt: skip
        for client, other in ((bob, closed), (carol, app)):
            with pytest.raises(NotAuthorized, match="Unauthorized attempt to kill"):
                client.resourcemanager.kill(other.id)
        bob.resourcemanager.kill(app.id)
        assert app.wait(timeout=30, check=False).outcome is Outcome.KILLED
        assert not closed.report().ended


# -- how long and how often ---------------------------------------------------------------------------------------------


def test_lifetime_ends_it_in_good_order(knit: Knit) -> None:
    app = knit.submit("sleep 600", lifetime=2, **SMALL)
    with pytest.raises(ApplicationKilled, match="lifetime"):
        app.wait(timeout=60)
    result = app.result()
    assert result is not None
    assert result.complete


@pytest.mark.slow
def test_yarn_ends_it_when_its_master_does_not(knit: Knit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "_LIFETIME_MARGIN", 3.0)
    app = knit.submit("sleep 600", lifetime=20, attempts=1, **SMALL)  # enough to start in on a busy machine
    process = master_process(app, 1)
    process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(ApplicationKilled, match=r"(?i)lifetime|timeout"):
            app.wait(timeout=120)
    finally:
        if process.is_running():
            process.send_signal(signal.SIGCONT)


@pytest.mark.slow
def test_the_lifetime_survives_a_crash_and_a_refusal(knit: Knit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher that dies before it told YARN: the next launch with the key does. YARN refuses: a line, no failure."""
    spec = application_spec("sleep 600", lifetime=900, **SMALL)

    def die(step: str) -> None:
        if step == "lifetime":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launcher.launch(knit._launch(spec, "crash", hook=die))
    app = knit.launched("crash")
    assert app is not None
    try:
        assert knit.resourcemanager.lifetime(app.id) == "UNLIMITED"
        assert launcher.launch(knit._launch(spec, "crash")) == app.id
        told = knit.resourcemanager.lifetime(app.id)
        assert told != "UNLIMITED"
        assert launcher.launch(knit._launch(application_spec(spec, lifetime=60), "crash")) == app.id
        assert knit.resourcemanager.lifetime(app.id) == told

        def refuse(*_args: object) -> None:
            raise NotAuthorized("not today", status=403)

        monkeypatch.setattr(knit.resourcemanager, "set_lifetime", refuse)
        lines: list[str] = []
        with running(knit, "sleep 600", lifetime=900, progress=lines.append, **SMALL) as other:
            assert [line for line in lines if line.startswith("warning: the lifetime is not set at YARN")]
            until_runs(other, 1)
    finally:
        app.kill()


@pytest.mark.slow
def test_attempts_and_their_window(knit: Knit) -> None:
    """Two failures of the ApplicationMaster: too many within an hour, not too many within half a second."""
    kinds: list[dict[str, Any]] = [
        {"attempts": 1},
        {"attempts": 2, "attempt_window": "1 h"},
        {"attempts": 2, "attempt_window": 0.5},
    ]
    apps = [knit.submit("sleep 600", **kind, **SMALL) for kind in kinds]
    try:
        for app in apps:
            master_process(app, 1).kill()
        killed = time.monotonic()
        with pytest.raises(ApplicationFailed):
            apps[0].wait(timeout=60)
        second = [master_process(app, 2) for app in apps[1:]]
        eventually(lambda: time.monotonic() > killed + 0.6, 5, "the window is over")
        for process in second:
            process.kill()
        with pytest.raises(ApplicationFailed):
            apps[1].wait(timeout=60)
        assert master_process(apps[2], 3).is_running()
    finally:
        for app in apps:
            app.kill()


# -- what a container gets, and where it runs -----------------------------------------------------------------------------


def test_resources_and_gpus_are_counted(knit: Knit) -> None:
    """Three licences and two GPUs on each node: of three containers with two licences two run, GPUs go apart."""
    service = {"command": "sleep 600", **SMALL}
    spec = {"services": {
        "licensed": {**service, "instances": 3, "resources": {LICENSE: 2}},
        "gpu": {**service, "instances": 2, "gpus": 2},
    }}  # fmt: skip
    with running(knit, spec) as app:
        first = until_runs(app, 2, "licensed")
        until_runs(app, 2, "gpu")
        assert placed(app, "gpu") == sorted([NODE_1, NODE_2])
        assert placed(app, "licensed") == sorted([NODE_1, NODE_2])
        app.kill_container(first[0].id)
        again = eventually(
            lambda: {row.id for row in live(app, "licensed")} - {row.id for row in first}, 30, "the third"
        )
        assert again == {"licensed_2"}


@pytest.mark.slow
def test_dask_workers_have_gpus_and_other_resources(knit: Knit) -> None:
    """Two workers with both GPUs of a node each: one on either, although one node had room for both."""
    from distributed import Client

    from knit_core.dask_yarn import DaskYARNCluster, WorkerGroup
    from tests.dask_harness import here

    groups = {"gpu": WorkerGroup(2, memory=384, nanny=False, gpus=2, resources={LICENSE: 2})}
    with DaskYARNCluster(here(), groups=groups, scheduler_memory=384, knit=knit) as dask, Client(dask) as client:
        client.wait_for_workers(2, timeout=120)
        assert dask.app is not None
        assert placed(dask.app, "gpu") == sorted([NODE_1, NODE_2])
        with pytest.raises(PreflightError, match=re.escape("yarn.io/gpu")):
            DaskYARNCluster(here(), n_workers=1, gpus=3, knit=knit)


def test_nodes_racks_and_elsewhere(knit: Knit) -> None:
    service = {"command": "sleep 600", **SMALL}
    spec = {"services": {
        "filler": {**service, "nodes": NODE_2, "memory": "6 GiB"},
        "node": {**service, "nodes": [NODE_2], "instances": 2},
        "rack": {**service, "racks": "/rack-a", "instances": 2},
        "relaxed": {**service, "nodes": NODE_2, "memory": "3 GiB", "relax_locality": True, "depends_on": ["filler"]},
        "strict": {**service, "nodes": NODE_2, "memory": "3 GiB", "depends_on": ["filler"]},
    }}  # fmt: skip
    with running(knit, spec) as app:
        for name, hosts in {"node": [NODE_2] * 2, "rack": [NODE_1] * 2, "relaxed": [NODE_1]}.items():
            until_runs(app, len(hosts), name)
            assert placed(app, name) == hosts
        assert placed(app, "strict") == []
        app.kill_container("filler_0")
        until_runs(app, 1, "strict")
        assert placed(app, "strict") == [NODE_2]


def test_anti_affinity(knit: Knit) -> None:
    with running(knit, "sleep 600", instances=2, anti_affinity=True, **SMALL) as app:
        until_runs(app, 2)
        assert placed(app, "main") == sorted([NODE_1, NODE_2])


@pytest.mark.slow
def test_node_labels(knit: Knit, cluster: LocalCluster) -> None:
    """Node 2 belongs to the label: only who names it gets there, and who names it gets only there."""

    address = cluster.resourcemanager_url

    def label(*labels: str) -> None:
        # YARN miscounts what it has given out when a node changes its label under a container
        eventually(
            lambda: not any(node["numContainers"] for node in rm(address, "nodes")["nodes"]["node"]), 20, "empty nodes"
        )
        rm(address, "replace-node-to-labels", {"nodeToLabels": [{"nodeId": f"{NODE_2}:0", "labels": list(labels)}]})
        eventually(lambda: bool(rm(address, "label-mappings")["labelsToNodes"]) == bool(labels), 20, "labels")

    service = {"command": "sleep 600", "instances": 2, **SMALL}
    label("ssd")
    try:
        with running(knit, {"services": {"fast": {**service, "node_label": "ssd"}, "plain": service}}) as app:
            until_runs(app, 2, "fast")
            until_runs(app, 2, "plain")
            assert (placed(app, "fast"), placed(app, "plain")) == ([NODE_2] * 2, [NODE_1] * 2)
            assert app.report().master.rpartition(":")[0] == NODE_1
        with running(knit, "sleep 600", master_label="ssd", **SMALL) as app:
            until_runs(app, 1)
            assert (app.report().master.rpartition(":")[0], placed(app, "main")) == (NODE_2, [NODE_1])
        for wish, says in (
            ({"node_label": "sdd"}, "no node label 'sdd'; did you mean 'ssd'"),
            ({"node_label": "ssd", "queue": "science"}, "root.science may not use nodes with the label 'ssd'"),
            ({"node_label": "ssd", "memory": "9 GiB"}, "9 GiB per container is more"),
            ({"queue": "science", "lifetime": "3 h"}, "root.science ends applications after 2 h"),
            ({"attempts": 4}, "at most 3 times"),
            ({"priority": 11}, "priority 11 is higher than this cluster's maximum (10"),
        ):
            with pytest.raises(PreflightError, match=re.escape(says)):
                knit.submit("true", **wish)
    finally:
        label()


def test_opportunistic_containers(knit: Knit) -> None:
    service = {"command": "sleep 600", **SMALL}
    with running(knit, {"services": {"gap": {**service, "opportunistic": True}, "sure": service}}) as app:
        for name, kind in (("gap", "OPPORTUNISTIC"), ("sure", "GUARANTEED")):
            (row,) = until_runs(app, 1, name)
            found = json.loads(http(f"http://{row.node_http}/ws/v1/node/containers/{row.yarn}", "alice"))
            assert found["container"]["executionType"] == kind


def test_docker_settings_reach_the_launch_environment(knit: Knit) -> None:
    """No node here runs Docker: what YARN's runtime would read is all that can be seen."""
    docker = {"image": "registry.example.org/a/b:1.0", "mounts": ["/data:/data:ro", "/x:/y:rw"], "network": "bridge",
              "hostname": "h", "privileged": True}  # fmt: skip
    with pytest.raises(PreflightError, match="docker: the nodes do not run Docker containers"):
        knit.submit("true", docker=docker, **SMALL)
    app = knit.submit("env | grep ^YARN_CONTAINER_RUNTIME | sort", docker=docker, checks=False, **SMALL)
    app.wait(timeout=60)
    assert [line.text for line in app.logs()] == [
        "YARN_CONTAINER_RUNTIME_DOCKER_CONTAINER_HOSTNAME=h",
        "YARN_CONTAINER_RUNTIME_DOCKER_CONTAINER_NETWORK=bridge",
        "YARN_CONTAINER_RUNTIME_DOCKER_IMAGE=registry.example.org/a/b:1.0",
        "YARN_CONTAINER_RUNTIME_DOCKER_MOUNTS=/data:/data:ro,/x:/y:rw",
        "YARN_CONTAINER_RUNTIME_DOCKER_RUN_PRIVILEGED_CONTAINER=true",
        "YARN_CONTAINER_RUNTIME_TYPE=docker",
    ]
