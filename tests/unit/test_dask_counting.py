"""How workers are counted, and which of them go."""

from __future__ import annotations

import pytest

from knit_core.dask_yarn.counting import Census, container_of, containers_for, fits, surplus, whole
from knit_core.model.result import Container
from knit_core.model.states import ContainerState


def row(name: str, state: str, attempt: int = 1, yarn: str = "") -> Container:
    service, _, rank = name.rpartition("_")
    return Container(name, service, int(rank), attempt, ContainerState(state), yarn)


@pytest.mark.parametrize(
    ("worker", "container"),
    [
        ("worker_3", "worker_3"),
        ("worker_3.2", "worker_3"),
        ("worker_3-1", "worker_3"),
        ("gpu-big_12.4-0", "gpu-big_12"),
        ("tcp://10.0.0.1:33", None),
        (7, None),
        ("worker_", None),
    ],
)
def test_the_container_of_a_worker(worker: object, container: str | None) -> None:
    assert container_of(worker) == container


def test_dead_and_pending_and_replaced_ones() -> None:
    rows = [
        row("worker_0", "RUNNING", 1, "c1"),
        row("worker_1", "FAILED", 1, "c2"),  # its place is taken
        row("worker_1", "WAITING", 2),
        row("worker_2", "FAILED", 1),
        row("worker_2", "FAILED", 2),  # for good
        row("worker_3", "KILLED"),
        row("worker_4", "STOPPING", 1, "c5"),
        row("worker_5", "REQUESTED"),
        row("other_0", "RUNNING", 1, "c7"),
        row("scheduler_0", "RUNNING", 1, "c8"),
    ]
    census = Census.of(rows, ["worker", "other"])
    assert census.wanted == {"worker_0", "worker_1", "worker_5", "other_0"}
    assert census.of_group("worker") == {"worker_0", "worker_1", "worker_5"}
    assert census.failed == {"worker_2"}
    assert census.yarn == {"c1": "worker_0", "c7": "other_0"}


def test_the_order_of_attempts_does_not_matter() -> None:
    rows = [row("worker_0", "RUNNING", 2, "new"), row("worker_0", "FAILED", 1, "old")]
    for given in (rows, rows[::-1]):
        census = Census.of(given, ["worker"])
        assert census.wanted == {"worker_0"}
        assert census.yarn == {"new": "worker_0"}
        assert not census.failed


def test_who_goes_first() -> None:
    wanted = ["worker_0", "worker_1", "worker_2", "worker_9", "worker_10"]
    arrived = ["worker_0", "worker_1", "worker_2"]
    assert surplus(wanted, arrived, ["worker_1"], 1) == ["worker_10"]
    assert surplus(wanted, arrived, ["worker_1"], 3) == ["worker_10", "worker_9", "worker_1"]
    assert surplus(wanted, arrived, ["worker_1"], 4) == ["worker_10", "worker_9", "worker_1", "worker_2"]
    assert surplus(wanted, arrived, ["elsewhere_0"], 9)[-1] == "worker_0"
    assert surplus(wanted, arrived, [], 0) == []
    assert surplus(wanted, arrived, [], -3) == []


def test_a_container_goes_as_a_whole() -> None:
    observed = ["worker_0-0", "worker_0-1", "worker_1-0", "worker_1-1", "worker_2", "mine"]
    assert whole(["worker_0-1", "worker_2", "worker_0-0", "worker_1-0", "mine"], observed) == ["worker_0", "worker_2"]
    assert whole([], observed) == []
    assert whole(["worker_7"], observed) == []  # nobody knows it


@pytest.mark.parametrize(
    ("workers", "processes", "containers"), [(0, 4, 0), (1, 4, 1), (4, 4, 1), (5, 4, 2), (3, 1, 3)]
)
def test_containers_for_workers(workers: int, processes: int, containers: int) -> None:
    assert containers_for(workers, processes) == containers


def test_what_resources_are_enough_for() -> None:
    assert fits({}, {})
    assert fits({"BIG": 1}, {"BIG": 2, "GPU": 1})
    assert not fits({"BIG": 3}, {"BIG": 2})
    assert not fits({"GPU": 1}, {})
