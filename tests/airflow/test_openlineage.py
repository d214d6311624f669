"""OpenLineage: what Airflow's own provider extracts from Knit's operators, and what they say without it."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from knit_airflow import KnitOperator
from knit_airflow.openlineage.hdfs_names import hdfs_name
from tests.airflow.fake_knit import FakeKnit
from tests.airflow.fake_task import Task, deferral

FILES = ["local.py", "hdfs://nn:8020/data/words.txt", {"source": "hdfs://nn:8020/data/words.txt", "name": "again"}]


def operator(**arguments: Any) -> KnitOperator:
    return KnitOperator(
        **{"task_id": "t", "command": "x", "name": "n", "memory": "2 GiB", "poll_interval": 0.01, **arguments}
    )


def extracted(task: KnitOperator, state: str) -> dict[str, Any]:
    """What would be sent, as JSON."""
    from airflow.providers.openlineage.extractors.manager import ExtractorManager
    from airflow.utils.state import TaskInstanceState
    from openlineage.client.serde import Serde

    run = SimpleNamespace(run_id="r")
    ti = SimpleNamespace(task=task)
    found = ExtractorManager().extract_metadata(run, task, TaskInstanceState(state), ti)
    return {
        name: json.loads(Serde.to_json(SimpleEvent(value)))["value"]
        for name, value in (
            ("inputs", found.inputs),
            ("outputs", found.outputs),
            ("run", found.run_facets),
            ("job", found.job_facets),
        )
    }


def SimpleEvent(value: Any) -> Any:
    import attrs

    return attrs.make_class("Event", ["value"])(value)


def names(datasets: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["namespace"], each["name"]) for each in datasets]


@pytest.mark.parametrize("mode", ["blocking", "deferred"])
def test_airflows_provider_takes_application_files_and_what_is_given_by_hand(knit: FakeKnit, mode: str) -> None:
    from airflow.sdk import Asset

    def made() -> KnitOperator:
        return operator(
            files=FILES,
            queue="science",
            deferrable=mode == "deferred",
            inlets=[Asset("file:///lake/in")],
            outlets=[Asset("hdfs://nn:8020/data/counts")],
        )

    task, before = Task(), made()
    start = extracted(before, "running")
    assert names(start["inputs"]) == [("file", "/lake/in"), ("hdfs://nn:8020", "/data/words.txt")]
    assert names(start["outputs"]) == [("hdfs://nn:8020", "/data/counts")]
    assert start["run"] == {}
    assert start["job"]["knit"]["type"] == "command" and start["job"]["knit"]["asked"] == {"memory": "2 GiB"}
    knit.on_submit = lambda app: app.facts.update(memory_seconds=7)
    if mode == "deferred":
        deferral(lambda: before.execute(task.context()))
        app = knit.apps["application_1_0001"]
        app.end("SUCCEEDED")
        before = made()
        before.execute_complete(
            task.context(), {"kind": "ended", "text": "", "outcome": "SUCCEEDED", "application": app.id}
        )
    else:
        knit.on_submit = lambda app: (app.facts.update(memory_seconds=7), app.end("SUCCEEDED"))
        before.execute(task.context())
    end = extracted(before, "success")
    assert names(end["inputs"]) == names(start["inputs"])
    assert (
        end["run"]["knit"].items()
        >= {
            "applicationId": "application_1_0001",
            "queue": "default",
            "outcome": "SUCCEEDED",
            "memoryMibSeconds": 7,
        }.items()
    )


def test_a_failure_names_its_application(knit: FakeKnit) -> None:
    from knit_airflow.version_compat import AirflowException

    knit.on_submit = lambda app: app.end("FAILED", "exited with 3")
    task = operator()
    with pytest.raises(AirflowException):
        task.execute(Task().context())
    facet = extracted(task, "failed")["run"]["knit"]
    assert facet["applicationId"] == "application_1_0001" and facet["outcome"] == "FAILED"


def test_files_of_a_specification_and_of_services() -> None:
    services = {
        "a": {"command": "x", "files": {"w": "hdfs://nn:8020/a"}},
        "b": {"command": "x", "files": ["hdfs://ha/b"]},
    }
    found = extracted(operator(command=None, memory=None, spec={"services": services}), "running")
    assert names(found["inputs"]) == [("hdfs://nn:8020", "/a"), ("hdfs://ha", "/b")]
    assert found["job"]["knit"]["type"] == "spec"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("hdfs://nn:8020/user/alice/a b.csv", ("hdfs://nn:8020", "/user/alice/a b.csv")),
        ("hdfs://bob@nn:8020/x", ("hdfs://nn:8020", "/x")),
        ("hdfs:///x", None),
        ("hdfs://nn:8020/", None),
        ("/local/x", None),
        (None, None),
    ],
)
def test_names_are_those_of_the_naming_specification(source: Any, name: Any) -> None:
    from openlineage.client.naming.dataset import HDFS

    assert hdfs_name(source) == name
    if name is not None and name[0].count(":") == 2:
        host, _, port = name[0].removeprefix("hdfs://").partition(":")
        theirs = HDFS(namenode_host=host, namenode_port=port, path=name[1])
        assert (theirs.get_namespace(), theirs.get_name()) == name


def test_without_the_provider_there_is_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage.extractors", None)
    assert operator().get_openlineage_facets_on_start() is None
    assert operator().get_openlineage_facets_on_complete(None) is None
