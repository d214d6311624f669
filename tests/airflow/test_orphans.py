"""The reaper: which applications belong to nobody; on real processes it is tested with the other faults."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from knit_airflow import KnitOperator
from knit_airflow.orphans import orphans
from knit_airflow.tags import checked, deployment_tag, tag_in, tag_of, tag_of_task
from knit_core.cli import knit as knit_command
from knit_core.model.report import ApplicationReport
from knit_core.model.states import Outcome, State
from knit_core.spec import application_spec
from tests.airflow.fake_knit import FakeKnit
from tests.airflow.fake_task import Task

MINE = tag_of("prod", "d", "r", "t", -1)


def report(*tags: str, started: float | None = 0, outcome: Outcome | None = None) -> ApplicationReport:
    state = State.RUNNING if outcome is None else State.FINISHED
    at = None if started is None else int(started * 1000)
    return ApplicationReport("application_1_0001", "n", "u", "q", state, outcome, tags=tags, started_at=at)


@pytest.mark.parametrize(
    ("row", "living", "found"),
    [
        (report("knit", MINE), set(), True),
        (report("knit", MINE), {MINE}, False),
        (report("knit"), set(), False),
        (report("knit", tag_of("prod-2", "d", "r", "t", -1)), set(), False),
        (report("knit", "airflow-prod-nightly"), set(), False),
        (report("knit", MINE, started=950), set(), False),
        (report("knit", MINE, started=None), set(), False),
        (report("knit", MINE, outcome=Outcome.FAILED), set(), False),
    ],
    ids=["gone", "living", "no task", "other deployment", "own tag of a user", "young", "not started", "ended"],
)
def test_only_what_belongs_to_nobody(row: ApplicationReport, living: set[str], found: bool) -> None:
    assert bool(orphans([row], living, "prod", now=1000, age=60)) is found


@given(
    st.lists(st.tuples(st.text(), st.text(), st.text(), st.integers(-1, 99)), min_size=2, max_size=2, unique=True),
    st.from_regex(r"[a-z0-9][a-z0-9-]{0,38}[a-z0-9]", fullmatch=True),
)
def test_tags_differ_and_fit_yarn(instances: list[tuple[str, str, str, int]], deployment: str) -> None:
    one, two = (tag_of(deployment, *each) for each in instances)
    assert one != two
    assert one == one.lower() and one.isascii() and len(one) <= 100
    assert not orphans([report(one)], {one, two}, deployment, 10**6, 0)


@pytest.mark.parametrize("name", ["", "Prod", "a b", "-a", "x" * 41])
def test_names_that_are_no_tags_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="deployment"):
        checked(name)


@pytest.mark.parametrize("what", [{"command": "x"}, {"spec": {"tags": ["own"], "services": {"a": {"command": "x"}}}}])
def test_applications_are_tagged_only_where_the_deployment_has_a_name(
    knit: FakeKnit, monkeypatch: pytest.MonkeyPatch, what: dict[str, Any]
) -> None:
    knit.on_submit = lambda app: app.end("SUCCEEDED")

    def tags() -> tuple[str, ...]:
        KnitOperator(task_id="t", name="n", **what).execute(Task().context())
        submitted = knit.submitted[-1]
        return application_spec(submitted.pop("spec"), **submitted).tags

    own = ("own",) if "spec" in what else ()
    assert tags() == own
    monkeypatch.setenv("AIRFLOW__KNIT__DEPLOYMENT", "prod")
    assert tags() == (*own, "airflow-prod", MINE, tag_of_task("prod", "d", "t"))
    assert deployment_tag("prod") == "airflow-prod" and tag_in("prod", tags()) == MINE


def test_without_a_name_nothing_is_looked_for() -> None:
    done = CliRunner().invoke(knit_command, ["airflow", "reap"])
    assert done.exit_code == 2 and "AIRFLOW__KNIT__DEPLOYMENT" in done.output
