"""Old places of public names: each gives the class itself, with a warning; a triggerer finds a trigger by the old path."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
from airflow._shared.module_loading import import_string

from knit_airflow._deprecated_paths import MOVED

PATHS = [(old, name, f"knit_airflow.{new}") for old, names in MOVED.items() for name, new in names.items()]
#: Class paths that stand in the database of an Airflow that ran Knit before the moves.
TRIGGERS = {
    "knit_airflow.triggers.KnitApplicationTrigger": {"knit_conn_id": "c", "application_id": "application_1_0001"},
    "knit_airflow.triggers.KnitSensorTrigger": {"knit_conn_id": "c", "application_id": "application_1_0001"},
    "knit_airflow.dask.KnitDaskTrigger": {"knit_conn_id": "c", "application_id": "application_1_0001"},
    "knit_airflow.watchers.KnitApplicationEnded": {"tag": "export"},
    "knit_airflow.watchers.KnitQueueHasRoom": {"queue": "science", "vcores": 1},
}


@pytest.mark.parametrize(("old", "name", "new"), PATHS, ids=[f"{old}.{name}" for old, name, _ in PATHS])
def test_an_old_path_gives_the_same_object(old: str, name: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{old}.{name} is deprecated .* use {new}.{name}"):
        found = getattr(import_module(old), name)
    assert found is getattr(import_module(new), name)


@pytest.mark.parametrize("path", TRIGGERS)
def test_a_trigger_row_with_an_old_path_is_loaded(path: str) -> None:
    with pytest.warns(DeprecationWarning):
        trigger = import_string(path)(**TRIGGERS[path])  # as the triggerer does
    new_path, arguments = trigger.serialize()
    assert new_path != path
    assert import_string(new_path)(**arguments).serialize() == (new_path, arguments)


def test_names_that_were_never_there_are_missing() -> None:
    for module in MOVED:
        with pytest.raises(AttributeError, match="nothing_like_it"):
            import_module(module).nothing_like_it  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        import_module("knit_airflow.nothing_like_it")


@pytest.mark.parametrize(
    "statement",
    [
        "from knit_airflow.dask import client, knit_dask_cluster",
        "from knit_airflow import failures; failures.KnitRefused",
        "import knit_airflow.retries; knit_airflow.retries.KnitRetryPolicy",
        "from knit_airflow.operators import KnitOperator",
    ],
)
def test_every_form_of_import_works_and_the_warning_names_the_users_line(statement: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", statement], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "<string>:1: DeprecationWarning: knit_airflow." in done.stderr


def test_nothing_is_imported_before_a_name_is_asked_for() -> None:
    code = (
        "import sys, knit_airflow.operators, knit_airflow.triggers, knit_airflow.dask, knit_airflow.failures\n"
        "sys.exit(bool({'airflow', 'knit_core'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
