"""Fixtures for tests on real daemons: one cluster for the whole run, and a check that each test leaves it empty.

Use: `pytest_plugins = ["tests.cluster_harness"]` in tests/conftest.py. With `KNIT_TEST_CLUSTER=<state folder>` the tests
attach to a cluster that runs already (two nodes, queues default and science); else the run starts its own and takes it
down at its end.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from knit_core import Knit
from knit_core.local import LocalCluster, LocalClusterError

CLUSTER_VARIABLE = "KNIT_TEST_CLUSTER"
QUEUES = ("default", "science")
USERS = ("alice", "bob")
LIVING = "NEW,NEW_SAVING,SUBMITTED,ACCEPTED,RUNNING"
_direct = build_opener(ProxyHandler({}))


def eventually(condition: Callable[[], Any], timeout: float, what: str, poll: float = 0.1) -> Any:
    """The condition's first true value. Fails loudly, with what was waited for, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout:g} s: {what} (last value: {value!r})", pytrace=True)
        time.sleep(poll)


def rm_get(cluster: LocalCluster, path: str) -> Any:
    """JSON from the ResourceManager's REST API, `path` from /ws/v1/cluster on."""
    with _direct.open(f"{cluster.resourcemanager_url}/ws/v1/cluster{path}", timeout=10) as reply:
        return json.load(reply)


def living_applications(cluster: LocalCluster) -> list[str]:
    """Ids of the applications that have not ended."""
    apps = (rm_get(cluster, f"/apps?states={LIVING}").get("apps") or {}).get("app") or []
    return [app["id"] for app in apps]


def allocated_containers(cluster: LocalCluster) -> int:
    """Containers that hold resources now, the ApplicationMasters' included."""
    return int(rm_get(cluster, "/metrics")["clusterMetrics"]["containersAllocated"])


def kill_application(cluster: LocalCluster, application: str) -> None:
    """End an application through the ResourceManager, as the user who started it."""
    user = rm_get(cluster, f"/apps/{application}")["app"]["user"]
    request = Request(
        f"{cluster.resourcemanager_url}/ws/v1/cluster/apps/{application}/state?user.name={user}",
        data=b'{"state": "KILLED"}',
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    _direct.open(request, timeout=10).close()


def dump_logs(cluster: LocalCluster, lines: int = 60) -> str:
    """The last lines of each daemon's log."""
    parts = []
    for name in cluster.daemon_names():
        parts += [f"==> {name} <==", *cluster.logs(name, lines)]
    return "\n".join(parts)


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    """A running cluster: two nodes, queues `default` and `science`, homes of alice and bob."""
    given = os.environ.get(CLUSTER_VARIABLE)
    if given:
        attached = LocalCluster(given)
        status = attached.status()
        if not status.running or status.nodes < 2 or set(status.queues) != set(QUEUES):
            pytest.fail(f"{CLUSTER_VARIABLE}={given}: needs a running cluster: knit local up --state {given} --nodes 2 "
                        f"--queues {','.join(QUEUES)}; it is {status}")  # fmt: skip
        _add_users(attached)
        yield attached
        return
    with tempfile.TemporaryDirectory(prefix="knit-cluster-") as folder:
        own = LocalCluster(Path(folder) / "state")
        try:
            own.up(nodes=2, queues=QUEUES)
            _add_users(own)
            yield own
        finally:
            own.down(delete=True)


def _add_users(cluster: LocalCluster) -> None:
    for name in USERS:
        cluster.add_user(name)


@contextmanager
def no_class_archives() -> Iterator[None]:
    """ApplicationMasters write no archive of their classes: 6 s of a processor per node, which pay after 5 launches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KNIT_CLASS_SHARING", "false")
        yield


@contextmanager
def own_cluster(
    purpose: str,
    settings: Mapping[str, str] | Callable[[Path], Mapping[str, str]],
    queues: tuple[str, ...] = QUEUES,
    nodes: int = 2,
    **options: Any,
) -> Iterator[LocalCluster]:
    """A cluster for one file of tests: two nodes by default, a ResourceManager that keeps its state, homes of alice and bob.

    Args:
        purpose: part of its folder's name.
        settings: Hadoop's, by property; or what makes them, given a folder that lives as long as the cluster.
        queues, nodes: as of `LocalCluster.up`.
        options: more of `LocalCluster.up`, such as `scheduler`.
    """
    with tempfile.TemporaryDirectory(prefix=f"knit-{purpose}-") as folder:
        cluster = LocalCluster(Path(folder) / "state")
        try:
            chosen = settings(Path(folder)) if callable(settings) else settings
            cluster.up(nodes=nodes, recovery=True, queues=queues, settings=chosen, **options)
            _add_users(cluster)
            yield cluster
        finally:
            cluster.down(delete=True)


@contextmanager
def client_of(cluster: LocalCluster) -> Iterator[Knit]:
    """Alice's client. Applications that are left in the end are ended, and are a failure of the test."""
    with Knit(cluster.resourcemanager_url, user="alice") as client:
        yield client
    left = living_applications(cluster)
    for app_id in left:
        kill_application(cluster, app_id)
    assert not left


@pytest.fixture
def clean_cluster(cluster: LocalCluster) -> Iterator[LocalCluster]:
    """The cluster, and a failure for the test that leaves applications or containers behind (they are ended then)."""
    before = set(living_applications(cluster))
    yield cluster
    try:
        left = set(living_applications(cluster)) - before
    except (OSError, LocalClusterError) as error:
        pytest.fail(f"the test left the cluster without a ResourceManager: {error}")
    for application in left:
        kill_application(cluster, application)
    if not before:
        eventually(lambda: not allocated_containers(cluster), 20, "all containers given back after the test")
    if left:
        pytest.fail(f"the test left applications behind: {', '.join(sorted(left))}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failed test on the cluster shows the ends of the daemons' logs."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and isinstance(cluster, LocalCluster):
        report.sections.append(("Hadoop daemons", dump_logs(cluster)))
