"""KnitOperator with a whole specification: mapping or file, parameters, templates, environment, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from knit_airflow import KnitOperator
from knit_airflow.exceptions import KnitRefused
from knit_core import Environment
from knit_core.spec import application_spec
from tests.airflow.fake_knit import FakeKnit
from tests.airflow.fake_task import Task

TWO = """
parameters: {day: , workers: {default: 2}}
name: two-${param.day}
services:
  fetch: {command: "echo $DAY", variables: {DAY: "${param.day}"}, files: [get.py]}
  train: {command: [python, train.py], instances: "${param.workers}", depends_on: {fetch: succeeded}}
"""


def submitted(knit: FakeKnit, folder: Path, monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> Any:
    """The ApplicationSpec that the cluster would get."""
    knit.on_submit = lambda app: app.end("SUCCEEDED")
    monkeypatch.setattr("knit_airflow.operators.knit.folder_of", lambda operator: folder)
    KnitOperator(task_id="t", **arguments).execute(Task().context())
    given = knit.submitted[-1]
    return application_spec(given.pop("spec"), **given)


def test_a_file_with_parameters(knit: FakeKnit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "two.yaml").write_text(TWO)
    spec = submitted(
        knit, tmp_path, monkeypatch, spec="two.yaml", parameters={"day": "monday"}, queue="science", tags=["a"]
    )
    assert (spec.name, spec.queue, spec.tags) == ("two-monday", "science", ("a",))
    assert spec.services["train"].instances == 2
    assert spec.services["fetch"].variables == {"DAY": "monday"}
    assert spec.services["fetch"].files[0].source == str(tmp_path / "get.py"), "relative to the file"
    named = submitted(knit, tmp_path, monkeypatch, spec="two.yaml", parameters={"day": "x", "workers": 5}, name="mine")
    assert (named.name, named.services["train"].instances) == ("mine", 5)


def test_an_application_in_which_nothing_would_run_is_refused(
    knit: FakeKnit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = {"services": {"main": {"command": "x", "instances": 0}}}
    for arguments in ({"command": "x", "instances": 0}, {"command": "x", "instances": "0"}, {"spec": none}):
        with pytest.raises(KnitRefused, match="at least 1"):
            submitted(knit, tmp_path, monkeypatch, **arguments)
    assert knit.submitted == []


def test_a_template_is_rendered_only_where_its_name_says_so(
    knit: FakeKnit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '{"services": {"main": {"command": "echo {{ ti.task_id }} ${#PATH}"}}}'
    (tmp_path / "one.json").write_text(text)
    assert submitted(knit, tmp_path, monkeypatch, spec="one.json").services["main"].command.endswith("${#PATH}")
    (tmp_path / "one.yaml.j2").write_text("services: {main: {command: 'echo {{ ti.task_id }}'}}")
    assert submitted(knit, tmp_path, monkeypatch, spec="one.yaml.j2").services["main"].command == "echo t"


def test_a_mapping_and_an_environment_for_all_services(
    knit: FakeKnit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"name": "own", "archive": "hdfs:///own.tar.gz"}
    services = {"a": {"command": "a"}, "b": {"command": "b", "environment": own}}
    env = Environment("shared", "hdfs:///envs/shared.tar.gz", "0" * 64)
    spec = submitted(knit, tmp_path, monkeypatch, spec={"services": services}, env=env.to_dict())
    assert [spec.services[name].environment.name for name in "ab"] == ["shared", "own"]
    assert spec.name.endswith(".t"), "of the task, as the spec has none"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"spec": "nowhere.yaml"}, "nowhere.yaml"),
        ({"spec": {"services": {"main": {"comand": "x"}}}}, "comand"),
        ({"spec": {"parameters": {"day": None}, "services": {"main": {"command": "${param.day}"}}}}, "day"),
        ({"spec": {"services": {"main": {"command": "x"}}}, "parameters": {"dya": 1}}, "dya"),
    ],
    ids=["no file", "typo", "parameter missing", "unknown parameter"],
)
def test_nonsense_fails_at_once(
    knit: FakeKnit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(KnitRefused, match=words):
        submitted(knit, tmp_path, monkeypatch, **arguments)
    assert knit.submitted == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "either"),
        ({"command": "x", "spec": {}}, "either"),
        ({"spec": {}, "memory": 1, "files": ["a"]}, "memory, files"),
        ({"command": "x", "parameters": {}}, "need a spec"),
    ],
)
def test_contradictions_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        KnitOperator(task_id="t", **arguments)
