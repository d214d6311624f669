"""Right after a restart of the ResourceManager: its nodes are not back yet, and it does not know its applications yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from knit_core import Knit
from knit_core.errors import ApplicationNotFound, PreflightError
from knit_core.hadoop.resource_manager import ResourceManager
from tests.fake_cluster import FakeCluster
from tests.simulated_clock import SimulatedClock


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    made = FakeCluster()
    made.nodes = 0
    yield made
    made.close()


def test_nodes_that_come_back_are_waited_for(cluster: FakeCluster) -> None:
    """All of them: the first one alone would be too small for what is launched here."""
    said: list[str] = []
    with Knit(cluster.address, user="alice") as knit:
        knit.clock = clock = SimulatedClock()
        begun = clock.now

        def back(now: float) -> None:
            cluster.nodes = (now - begun >= 20.0) + (now - begun >= 21.0)

        clock.on_sleep = back
        knit.submit("true", instances=10, memory="1 GiB", progress=said.append)
    assert len(cluster.apps) == 1
    assert said[0] == "no NodeManager is running (was the ResourceManager restarted?): waiting at most 60 s for one"
    assert 21.0 <= clock.now - begun < 30.0


def test_a_cluster_without_nodes_is_refused_after_a_minute(cluster: FakeCluster) -> None:
    with Knit(cluster.address, user="alice") as knit:
        knit.clock = clock = SimulatedClock()
        begun = clock.now
        with pytest.raises(PreflightError, match="has no running NodeManager"):
            knit.submit("true")
        assert 60.0 <= clock.now - begun < 62.0
    assert not cluster.apps


def test_a_node_whose_resources_are_not_counted_yet_is_waited_for(cluster: FakeCluster) -> None:
    """The number of nodes grows a moment before the sum of their memory."""
    cluster.nodes, cluster.memory = 2, 0
    with Knit(cluster.address, user="alice") as knit:
        knit.clock = clock = SimulatedClock()
        clock.on_sleep = lambda now: setattr(cluster, "memory", 8192)
        knit.submit("true", memory=256)
    assert len(cluster.apps) == 1


@pytest.mark.parametrize(("age", "asked", "taken"), [(10.0, 5.0, True), (10.0, 24.0, True), (10.0, 30.0, False)])
def test_more_nodes_are_waited_for_soon_after_the_start(
    cluster: FakeCluster, age: float, asked: float, taken: bool
) -> None:
    """When the launch does not fit on those that have come back; `asked` seconds later there are enough."""
    said: list[str] = []
    cluster.nodes = 1
    with Knit(cluster.address, user="alice") as knit:
        knit.clock = clock = SimulatedClock()
        begun = clock.now
        cluster.started = int((begun - age) * 1000)
        clock.on_sleep = lambda now: setattr(cluster, "nodes", 1 + (now - begun >= asked))
        knit.submit("true", memory="1 GiB")
        assert clock.now == begun
        if taken:
            knit.submit("true", instances=10, memory="1 GiB", progress=said.append)
        else:
            with pytest.raises(PreflightError, match="all 1 node of the cluster together have"):
                knit.submit("true", instances=10, memory="1 GiB")
        assert min(asked, 35 - age) <= clock.now - begun < min(asked, 35 - age) + 2
    assert len(cluster.apps) == 1 + taken
    assert [line for line in said if "just been started" in line] == [
        "the ResourceManager has just been started: waiting for more NodeManagers"
    ] * taken


@pytest.mark.parametrize("age", [36.0, -3600.0])
def test_a_launch_that_never_fits_is_refused_at_once(cluster: FakeCluster, age: float) -> None:
    cluster.nodes = 1
    with Knit(cluster.address, user="alice") as knit:
        knit.clock = clock = SimulatedClock()
        cluster.started = int((clock.now - age) * 1000)
        begun = clock.now
        with pytest.raises(PreflightError, match="all 1 node of the cluster together have"):
            knit.submit("true", instances=10, memory="1 GiB")
        assert clock.now == begun


REQUESTS: dict[str, Callable[[ResourceManager, str], object]] = {
    "app": lambda rm, app_id: rm.app(app_id).id == app_id,
    "apps": lambda rm, app_id: [report.id for report in rm.apps()] == [app_id],
    "attempts": lambda rm, app_id: len(rm.attempts(app_id)) == 1,
    "pending": lambda rm, app_id: rm.pending(app_id) == [],
    "lifetime": lambda rm, app_id: rm.lifetime(app_id) == "UNLIMITED",
    "set_lifetime": lambda rm, app_id: rm.set_lifetime(app_id, 1.0) is None,
    "kill": lambda rm, app_id: rm.kill(app_id) is None,
    "move": lambda rm, app_id: rm.move(app_id, "default") is None,
    "set_priority": lambda rm, app_id: rm.set_priority(app_id, 1) is None,
}


@pytest.mark.parametrize("name", REQUESTS)
def test_an_application_that_is_not_loaded_yet_is_waited_for(cluster: FakeCluster, name: str) -> None:
    """The web server answers before the stored applications are loaded: 404, and an empty list."""
    cluster.nodes = 1
    with Knit(cluster.address, user="alice") as knit:
        knit.clock = SimulatedClock()
        app_id = knit.submit("true").id
        changes = len(cluster.changes)
        cluster.loading = 3
        assert REQUESTS[name](knit.resourcemanager, app_id)
        assert cluster.loading == 0
        assert len(cluster.changes) == changes + (name in {"kill", "move", "set_priority", "set_lifetime"})


@pytest.mark.parametrize("name", ["kill", "move", "set_priority", "app"])
def test_an_unknown_application_is_said_to_be_unknown(cluster: FakeCluster, name: str) -> None:
    with Knit(cluster.address, user="alice") as knit, pytest.raises(ApplicationNotFound):
        REQUESTS[name](knit.resourcemanager, "application_1_0042")


def test_a_standby_that_redirects_to_the_active_one_is_good_enough(cluster: FakeCluster) -> None:
    """Requests are redirected, but for that for the state: the present address may stay a standby's."""
    cluster.nodes, cluster.state = 1, "STANDBY"
    with Knit(cluster.address, user="alice") as knit:
        app_id = knit.submit("true").id
        assert [report.id for report in knit.resourcemanager.apps()] == [app_id]
        with pytest.raises(ApplicationNotFound):
            knit.resourcemanager.kill("application_1_0042")


def test_a_server_that_ignores_filters_is_not_believed(cluster: FakeCluster) -> None:
    """A gateway may leave out a request's parameters."""
    cluster.nodes = 1
    with Knit(cluster.address, user="alice") as knit:
        mine = knit.submit("true", tags=["Mine"]).id
        knit.submit("true", tags=["other"])
        assert [report.id for report in knit.list(tags=["mine"])] == [mine]
        assert knit.list(types=["SPARK"]) == []
