"""A trigger that Airflow cancels ends its task's application, and only that."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from knit_airflow.triggers.application import KnitApplicationTrigger
from tests.airflow.fake_knit import FakeApplication, FakeKnit

MINE, ANOTHER = "application_1_0001", "application_1_0002"


@pytest.fixture
def app(knit: FakeKnit) -> FakeApplication:
    knit.apps = {MINE: FakeApplication(MINE), ANOTHER: FakeApplication(ANOTHER)}
    return knit.apps[MINE]


def trigger(owner: bool = True) -> KnitApplicationTrigger:
    made = KnitApplicationTrigger("knit_default", MINE, owner=owner)
    made.task_instance = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)
    return made


@pytest.mark.parametrize(
    ("state", "waits_for", "owner", "killed"),
    [
        ("failed", MINE, True, True),
        ("success", MINE, True, True),
        (None, None, True, True),  # cleared, or its run deleted
        ("failed", MINE, False, False),
        ("deferred", MINE, True, False),  # the trigger goes to another triggerer
        ("deferred", None, True, False),
        ("deferred", ANOTHER, True, True),  # another try: cleared, or the run made again under the same id
    ],
)
def test_whose_application_ends(
    app: FakeApplication,
    knit: FakeKnit,
    monkeypatch: pytest.MonkeyPatch,
    state: str | None,
    waits_for: str | None,
    owner: bool,
    killed: bool,
) -> None:
    monkeypatch.setattr("knit_airflow.triggers.application.task_state", lambda ti: state)
    monkeypatch.setattr("knit_airflow.triggers.application.launched_id", lambda **place: waits_for)
    asyncio.run(trigger(owner).on_kill())
    assert bool(app.kills) is killed
    assert not knit.apps[ANOTHER].kills


def test_the_end_outlives_airflows_patience(app: FakeApplication, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow cancels `on_kill` after half a minute; a busy triggerer has not even its answer by then."""

    def slow(ti: object) -> str:
        time.sleep(0.3)
        return "failed"

    monkeypatch.setattr("knit_airflow.triggers.application.task_state", slow)

    async def impatient() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(trigger().on_kill(), 0.05)
        assert not app.kills
        await asyncio.to_thread(app.ended.wait, 10)

    asyncio.run(impatient())
    assert app.kills
