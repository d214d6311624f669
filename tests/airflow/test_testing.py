"""`fake_cluster` for people's DAG tests: a whole DAG by `dag.test()`, without YARN and without a connection."""

from __future__ import annotations

import tempfile
from typing import Any

import pytest

from knit_airflow.testing import fake_cluster

pytestmark = pytest.mark.filterwarnings("default")  # those of Airflow's own server, which runs in this process


@pytest.fixture(scope="module")
def dag_bag() -> Any:
    """Makes a DAG known to the database, as `dag.test()` wants it."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.utils.db import initdb

    initdb()

    def sync(dag: Any) -> Any:
        with tempfile.TemporaryDirectory() as empty:
            DagBundlesManager().sync_bundles_to_db()
            bag = DagBag(empty)
            bag.bag_dag(dag)
            sync_bag_to_db(bag, "dags-folder", None)
        return dag

    return sync


def test_a_dag_runs_on_the_fake_cluster(dag_bag: Any) -> None:
    from airflow.sdk import DAG

    from knit_airflow import KnitOperator, KnitSensor

    with DAG("faked", schedule=None) as dag:
        one = KnitOperator(task_id="one", command="python x.py {{ run_id }}", queue="science", deferrable=True)
        two = KnitOperator(task_id="two", command="exit 99", skip_on_exit_code=99)
        one >> KnitSensor(task_id="seen", name="faked.one", deferrable=True, poke_interval=0.1) >> two

    def on_submit(app: Any) -> None:
        app.fail(99) if "exit" in str(app.spec.services["main"].command) else app.succeed(7)

    with fake_cluster(on_submit) as cluster:
        run = dag_bag(dag).test()
    assert {each.task_id: str(each.state) for each in run.get_task_instances()} == {
        "one": "success",
        "seen": "success",
        "two": "skipped",
    }
    assert [each.spec.queue for each in cluster.submitted] == ["science", None]
    assert run.run_id in cluster.submitted[0].spec.services["main"].command
