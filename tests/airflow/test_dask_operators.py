"""The Dask operators' own decisions, with a cluster in memory: what is submitted, whose the cluster is, how it is closed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, task

from knit_airflow.exceptions import ApplicationWasKilled, ClusterFailed, KnitRefused
from knit_airflow.hooks.dask import attach, place_of
from knit_airflow.operators.dask import (
    KnitDaskCloseOperator,
    KnitDaskClusterOperator,
    KnitDaskOperator,
    knit_dask_cluster,
)
from knit_airflow.tags import deployment_tag, tag_of, tag_of_task
from knit_airflow.triggers.dask import KnitDaskTrigger
from knit_airflow.version_compat import AirflowException, AirflowFailException, AirflowSkipException
from knit_core.dask_yarn import launching
from knit_core.errors import ConnectionFailed, MasterUnreachable
from knit_core.spec import application_spec
from tests.airflow.fake_knit import FakeApplication, FakeKnit
from tests.airflow.fake_task import Task, deferral

ID = "application_1_0001"


@pytest.fixture(autouse=True)
def scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler of every cluster answers at once."""
    monkeypatch.setattr(launching, "wait_for_scheduler", lambda app, timeout: SimpleNamespace(address="tls://n:1"))
    page = {"dashboard": "http://rm/proxy/x/knit"}
    monkeypatch.setattr(FakeApplication, "pages", lambda self: page, raising=False)


def opened(**options: Any) -> KnitDaskClusterOperator:
    """A fresh instance with its teardown, as every try has."""
    with (
        DAG("d", schedule=None) as dag,
        knit_dask_cluster(poll_interval=0.01, **{"n_workers": 2, **options}) as cluster,
    ):

        @task
        def work(cluster: Any) -> None: ...

        work(cluster)
    return dag.get_task("open_dask")


def test_the_setup_is_wired_and_returns_no_secret(knit: FakeKnit) -> None:
    operator = opened(memory="4 GiB")
    assert operator.is_setup and operator.dag.get_task("close_dask").is_teardown
    assert operator.downstream_task_ids == {"work", "close_dask"}
    assert operator.dag.get_task("work").downstream_task_ids == {"close_dask"}
    context = Task()
    assert operator.execute(context.context()) == {"application_id": ID, "knit_conn_id": "knit_default"}
    assert context.xcoms["dashboard"] == "http://rm/proxy/x/knit"
    submitted = knit.submitted[0]["spec"]
    assert submitted["services"]["worker"]["memory"] == "4 GiB"
    assert json.loads(submitted["services"]["scheduler"]["command"][3])["idle_timeout"] == 3600
    keys = next(file["source"] for file in submitted["services"]["worker"]["files"] if "tls" in file["name"])
    assert not Path(keys).exists()  # only while it was submitted
    assert "-----BEGIN" not in json.dumps([submitted, context.xcoms, context.store], default=str)


def test_the_reaper_takes_it_for_the_teardowns(knit: FakeKnit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__KNIT__DEPLOYMENT", "prod")
    opened(tags=["own"]).execute(Task().context())
    assert knit.submitted[0]["spec"]["tags"] == [
        "own",
        deployment_tag("prod"),
        tag_of("prod", "d", "r", "close_dask", -1),
        tag_of_task("prod", "d", "t"),
        "dask",
    ]
    KnitDaskClusterOperator(task_id="alone", name="n", n_workers=1).execute(Task().context())
    assert knit.submitted[1]["spec"]["tags"] == ["dask"]  # it would be taken for an orphan while it is used


def test_it_is_launched_once_and_anew_after_a_clear(knit: FakeKnit) -> None:
    context = Task(retries=1)
    knit.on_submit = lambda app: setattr(app, "fails", [SystemExit(9)])  # the process dies while it waits
    with pytest.raises(SystemExit):
        opened().execute(context.context())
    assert opened().execute(context.retry())["application_id"] == ID
    assert len(knit.submitted) == 1
    knit.on_submit = None
    assert opened().execute(context.clear())["application_id"] != ID
    assert len(knit.apps[ID].kills) == 1


def test_a_cluster_that_ended_meanwhile_is_launched_anew(knit: FakeKnit) -> None:
    """Between the death of the first try and the second, which took longer than its idle time-out."""
    context = Task(retries=1)
    knit.on_submit = lambda app: setattr(app, "fails", [SystemExit(9)])
    with pytest.raises(SystemExit):
        opened().execute(context.context())
    knit.apps[ID].end("SUCCEEDED", "no client and no work")
    knit.on_submit = None
    assert opened().execute(context.retry())["application_id"] == "application_1_0002"


def test_deferred_it_waits_for_the_first_container_only(knit: FakeKnit) -> None:
    context = Task()
    knit.on_submit = lambda app: app.facts.update(containers=1)  # the ApplicationMaster's own
    trigger = deferral(lambda: opened(deferrable=True).execute(context.context())).trigger
    assert isinstance(trigger, KnitDaskTrigger) and trigger.owner
    assert trigger.serialize()[0] == "knit_airflow.triggers.dask.KnitDaskTrigger"
    event = {"kind": "reached", "text": "", "application": ID}
    assert opened(deferrable=True).execute_complete(context.context(), event)["application_id"] == ID


@pytest.mark.parametrize("outcome", ["KILLED", "SUCCEEDED"])
def test_an_end_before_the_beginning_fails_the_setup(knit: FakeKnit, outcome: str) -> None:
    knit.on_submit = lambda app: app.end(outcome)
    with pytest.raises(AirflowException) as failure:
        opened().execute(Task().context())
    assert isinstance(failure.value, ApplicationWasKilled) is (outcome == "KILLED")
    assert not isinstance(failure.value, AirflowSkipException)


def test_options_that_there_are_not_are_refused_without_retries(knit: FakeKnit) -> None:
    for wrong in ({"options": {"memry": 3}}, {"n_workers": None, "groups": {"gpu": {"memry": 3}}}):
        with pytest.raises(KnitRefused, match="did you mean 'memory"):
            opened(**wrong).execute(Task().context())
    assert not knit.submitted


def test_groups_from_plain_mappings(knit: FakeKnit) -> None:
    opened(n_workers=None, groups={"cpu": {"n_workers": 3}, "gpu": {"gpus": 1}}).execute(Task().context())
    spec = application_spec(knit.submitted[0]["spec"])
    assert (spec.services["cpu"].instances, spec.services["gpu"].gpus) == (3, 1)


class Closable(FakeApplication):
    """Ends in good order, unless `deaf`."""

    deaf: Exception | None = None

    def shutdown(self, outcome: str, diagnostics: str) -> None:
        if self.deaf is not None:
            raise self.deaf
        self.end(outcome, diagnostics)

    def wait(self, timeout: float | None = None, check: bool = True, poll: float = 1.0) -> Any:
        return super().wait(timeout, check)


def closing(knit: FakeKnit, app: Any, cluster: Any = None) -> Any:
    if app is not None:
        knit.apps[app.id] = app
    given = cluster or {"application_id": ID, "knit_conn_id": "knit_default"}
    return KnitDaskCloseOperator(task_id="close", cluster=given).execute(Task().context())


def test_closing_in_good_order_by_force_and_twice(knit: FakeKnit) -> None:
    app = Closable(ID)
    assert closing(knit, app) == {"application_id": ID, "outcome": "SUCCEEDED"}
    assert closing(knit, app)["outcome"] == "SUCCEEDED" and not app.kills
    deaf = Closable(ID)
    deaf.deaf = MasterUnreachable("no answer", [])
    assert closing(knit, deaf) == {"application_id": ID, "outcome": "KILLED"}
    assert closing(knit, None, "application_9_0009") == {"application_id": "application_9_0009", "outcome": None}


def test_closing_is_tried_again_when_the_cluster_is_out_of_reach(knit: FakeKnit) -> None:
    app = Closable(ID)
    app.fails = [ConnectionFailed("no route"), ConnectionFailed("no route")]
    app.kill = lambda reason, grace: (_ for _ in ()).throw(ConnectionFailed("no route"))  # type: ignore[method-assign]
    with pytest.raises(ClusterFailed, match="no route") as failure:
        closing(knit, app)
    assert not isinstance(failure.value, AirflowFailException)
    assert KnitDaskCloseOperator(task_id="close", cluster=ID).retries == 2


def test_a_setup_that_launched_nothing_leaves_nothing_to_close(knit: FakeKnit) -> None:
    operator = KnitDaskCloseOperator(task_id="close", cluster=None)
    assert operator.execute(Task().context()) is None


def test_a_script_and_what_it_returned(knit: FakeKnit) -> None:
    def end(app: FakeApplication) -> None:
        app.end("SUCCEEDED")
        app.wait = lambda **_: SimpleNamespace(outcome="SUCCEEDED", values={"script": {0: 42}}, containers=())  # type: ignore[assignment,method-assign]

    knit.on_submit = end
    operator = KnitDaskOperator(
        task_id="s", name="n", script="programs/go.py", arguments=[1, "b"], n_workers="3", tls=False
    )
    assert operator.execute(Task().context()) == 42
    spec = knit.submitted[0]["spec"]
    assert spec["completion"] == ["script"]
    assert spec["services"]["script"]["command"][-3:] == ["go.py", "1", "b"]
    assert spec["services"]["worker"]["instances"] == 3
    assert {file["name"] for file in spec["services"]["script"]["files"]} == {"dask_node.py", "go.py"}


def test_what_a_task_gets(knit: FakeKnit, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place_of('{"application_id": "a", "knit_conn_id": "c"}') == ("a", "c")
    assert place_of("a") == ("a", "knit_default")
    assert place_of(None) == ("", "knit_default")
    with pytest.raises(KnitRefused, match="no Dask cluster of KnitDaskClusterOperator's: None"):
        attach(None)
    with pytest.raises((ClusterFailed, KnitRefused), match="application_9_0009 is not known"):
        attach("application_9_0009")
    for name in [name for name in sys.modules if name.startswith("knit_core.dask_yarn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(KnitRefused, match=r"needs Dask on its worker.*pip install 'knit-yarn\[dask\]'"):
        attach(ID)
