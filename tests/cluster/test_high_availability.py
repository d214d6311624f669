"""Two NameNodes and two ResourceManagers: one address of each suffices, and the death of the active ones is survived."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import pytest

from knit_core import Knit, Outcome, State
from knit_core.local import LocalCluster, rest
from tests.cluster_harness import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
SMALL = {"memory": 128, "vcores": 1}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    folder = tmp_path_factory.mktemp("ha")
    folder.chmod(0o755)
    cluster = LocalCluster(folder / "state")
    cluster.up(ha=True, users=["alice"])
    yield cluster
    cluster.down(delete=True)


def _active(cluster: LocalCluster, role: str) -> str:
    """The name of the daemon that is active."""
    find = rest.active_namenode if role == "namenode" else rest.active_resourcemanager
    port = eventually(lambda: find(cluster._record().setup), 60, f"an active {role}")
    return port.replace("-http", "")


def _url(cluster: LocalCluster, role: str, *, active: bool) -> str:
    setup = cluster._record().setup
    name = _active(cluster, role)
    if not active:
        name = role if name != role else f"{role}-2"
    _, _, number = name.partition("-")
    return setup.url(f"{role}-http-{number}" if number else f"{role}-http")


@pytest.mark.parametrize("active", [True, False])
def test_one_address_suffices(pair: LocalCluster, active: bool) -> None:
    options = {"namenode": _url(pair, "namenode", active=active)}
    with Knit(_url(pair, "resourcemanager", active=active), user="alice", options=options) as knit:
        assert knit.map(lambda x: x * x, range(4), workers=1, timeout=120, **SMALL) == [0, 1, 4, 9]


def test_only_the_standby_resourcemanager_is_given(pair: LocalCluster) -> None:
    with Knit(_url(pair, "resourcemanager", active=False), user="alice") as knit:
        app = knit.submit("echo hello", **SMALL)
        assert app.wait(timeout=120).outcome is Outcome.SUCCEEDED


def test_an_applications_page_through_the_proxy(pair: LocalCluster) -> None:
    """In a ResourceManager of two the proxy works only where it finds out which one it is."""
    with Knit(_url(pair, "resourcemanager", active=True), user="alice") as knit:
        app = knit.submit("sleep 300", **SMALL)
        app.wait_for_containers(1)
        page = f"{app.report().tracking_url.rstrip('/')}/ui/state.json"
        assert knit.cluster.proxy.session.get(page, timeout=20).json()["application"]["id"] == app.id
        app.kill("enough")


@pytest.mark.parametrize("role", ["resourcemanager", "namenode"])
def test_the_active_one_is_killed_while_a_program_runs(pair: LocalCluster, role: str) -> None:
    key = uuid.uuid4().hex
    with Knit(_url(pair, "resourcemanager", active=True), user="alice") as knit:
        command = "for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i; sleep 1; done"
        app = knit.submit(command, instances=2, key=key, tags=[f"ha-{key}"], **SMALL)
        app.wait_for_containers(2)
        victim = _active(pair, role)
        killer = threading.Timer(2, pair.kill, [victim])
        killer.start()
        lines = [line.text for line in app.logs(follow=True) if line.text.startswith("line")]
        killer.join()
        assert app.wait(timeout=120).outcome is Outcome.SUCCEEDED
        assert sorted(lines) == sorted(f"line {i}" for i in range(1, 11) for _ in range(2))
        again = knit.submit(command, instances=2, key=key, tags=[f"ha-{key}"], **SMALL)
        assert again.id == app.id
        assert [row.id for row in knit.list(states=list(State), tags=[f"ha-{key}"])] == [app.id]
    pair.up()  # the killed one comes back
    eventually(lambda: pair.status().running, 60, "all daemons run")


def test_the_active_ones_are_killed_while_launches_are_made(pair: LocalCluster) -> None:
    """Every launch takes effect once."""
    keys = [uuid.uuid4().hex for _ in range(4)]
    options = {"namenode": f"{_url(pair, 'namenode', active=True)},{_url(pair, 'namenode', active=False)}"}
    with Knit(_url(pair, "resourcemanager", active=True), user="alice", options=options) as knit:
        victims = [_active(pair, "namenode"), _active(pair, "resourcemanager")]
        killers = [threading.Timer(1 + 2 * n, pair.kill, [victim]) for n, victim in enumerate(victims)]
        for killer in killers:
            killer.start()
        apps = [knit.submit("true", key=key, tags=[f"ha-{key}"], **SMALL) for key in keys]
        for killer in killers:
            killer.join()
        for app, key in zip(apps, keys, strict=True):
            assert app.wait(timeout=120).outcome is Outcome.SUCCEEDED
            assert [row.id for row in knit.list(states=list(State), tags=[f"ha-{key}"])] == [app.id]
    pair.up()
