"""Ids that Airflow takes make names that Knit takes, each time the same ones."""

from __future__ import annotations

import pytest

from knit_airflow.operators._names import application_name, environment_name
from knit_core.model.environment import checked_name
from knit_core.spec import application_spec

IDS = ["run", "a.b-c_d", "x" * 250, "größe_日本", "_x", "-", "é" * 250, "group." * 40 + "task"]


@pytest.mark.parametrize("task_id", IDS)
@pytest.mark.parametrize("dag_id", ["dag", "d" * 250])
def test_any_ids_make_names(dag_id: str, task_id: str) -> None:
    name = application_name(dag_id, task_id)
    assert application_spec("x", name=name).name == name == application_name(dag_id, task_id)
    assert name.startswith(dag_id[:200])
    named = environment_name(task_id)
    assert checked_name(named) == named == environment_name(task_id)


def test_short_ids_stay_and_long_ones_are_told_apart() -> None:
    assert application_name("dag", "task") == "dag.task"
    assert environment_name("build.numpy_2-x") == "build.numpy_2-x"
    long = "x" * 249
    assert application_name("d", long + "a") != application_name("d", long + "b")
    assert environment_name(long + "a") != environment_name(long + "b")
    assert environment_name("é") != environment_name("è")
