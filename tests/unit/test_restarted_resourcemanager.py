"""A launch right after a restart of the ResourceManager: its nodes are not back yet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from knit_core import Knit
from knit_core.errors import PreflightError
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
