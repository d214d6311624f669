"""Ids of applications and containers: read, written, ordered; anything else is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knit_core.errors import BadApplicationId, KnitError
from knit_core.model.ids import ApplicationId, ContainerId

_applications = st.builds(ApplicationId, st.integers(0, 10**13), st.integers(0, 10**6))
_containers = st.builds(ContainerId, _applications, st.integers(1, 9999), st.integers(1, 10**7), st.integers(0, 200))


@given(_applications)
def test_an_application_id_reads_as_written(app: ApplicationId) -> None:
    assert ApplicationId.parse(str(app)) == app


@given(_containers)
def test_a_container_id_reads_as_written(container: ContainerId) -> None:
    assert ContainerId.parse(str(container)) == container
    url = f"http://node07:8042/node/containerlogs/{container}/alice"
    assert ContainerId.search(url) == container


def test_hadoop_s_own_spelling() -> None:
    assert str(ApplicationId(1795412523572, 42)) == "application_1795412523572_0042"
    assert str(ApplicationId(1795412523572, 123456)) == "application_1795412523572_123456"
    app = ApplicationId(1795412523572, 42)
    assert str(ContainerId(app, 1, 1)) == "container_1795412523572_0042_01_000001"
    assert str(ContainerId(app, 1, 1, 3)) == "container_e03_1795412523572_0042_01_000001"
    assert ContainerId.parse("container_e03_1795412523572_0042_02_000001").attempt == 2


def test_order_is_by_number_not_by_text() -> None:
    texts = ["application_1_10000", "application_1_9999", "application_2_0001"]
    assert [str(app) for app in sorted(map(ApplicationId.parse, texts))] == [
        "application_1_9999",
        "application_1_10000",
        "application_2_0001",
    ]


def test_the_masters_container_is_number_one() -> None:
    app = ApplicationId(1, 1)
    assert ContainerId(app, 2, 1).is_master
    assert not ContainerId(app, 2, 2).is_master


@pytest.mark.parametrize(
    "text",
    [
        "",
        "application_1795412523572",
        "application_1795412523572_42",
        "application_x_0042",
        "job_1795412523572_0042",
        "application_1795412523572_0042 rm -rf",
        "application_1795412523572_0042/../..",
        "application_\u0661_0042",
        "container_1795412523572_0042_01_000001",
        None,
        42,
    ],
)
def test_no_application_id(text: object) -> None:
    with pytest.raises(BadApplicationId, match="is not an application id: the form is application_1795412523572_0042"):
        ApplicationId.parse(text)  # type: ignore[arg-type]
    assert issubclass(BadApplicationId, KnitError)
    assert issubclass(BadApplicationId, ValueError)


@pytest.mark.parametrize("text", ["", "container_1_0001_01", "container_e_1_0001_01_000001", "application_1_0001"])
def test_no_container_id(text: str) -> None:
    with pytest.raises(ValueError, match="is not a container id"):
        ContainerId.parse(text)
    assert ContainerId.search(text) is None


def test_surrounding_blanks_are_forgiven() -> None:
    assert ApplicationId.parse(" application_1_0002\n") == ApplicationId(1, 2)
