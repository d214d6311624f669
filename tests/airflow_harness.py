"""Fixtures for tests under Airflow: `airflow` is a real one (all its processes), `dag_test` runs a DAG in this process.

Use: `pytest_plugins = ["tests.cluster_harness", "tests.channel_harness", "tests.airflow_harness"]` in tests/conftest.py.
Nothing here imports Airflow before a fixture is asked for: tests/airflow/conftest.py says first where it may write.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tools.airflow_processes import PARTS, AirflowProcesses

if TYPE_CHECKING:
    from knit_core.local import LocalCluster
    from tests.observability_harness import Observers

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "dags_examples"
SCENARIOS = Path(__file__).resolve().parent / "airflow" / "dags"
#: Seconds and bytes that the session's Airflow took, for the terminal's summary.
_measured: dict[str, float] = {}
#: The session's Airflow, while there is one.
_beds: list[AirflowProcesses] = []


def connection(cluster: LocalCluster, user: str = "alice") -> str:
    """An `AIRFLOW_CONN_…` value for the test cluster."""
    return json.dumps({"conn_type": "knit", "host": cluster.resourcemanager_url, "login": user})


@pytest.fixture(scope="session")
def airflow(cluster: LocalCluster, dask_channel: str, observers: Observers) -> Iterator[AirflowProcesses]:
    """A running Airflow with the example DAGs and the tests' own; its connection `knit_default` is the test cluster.

    Its metrics and spans go to `observers`.
    """
    try:
        version("knit-yarn")
    except PackageNotFoundError:
        pytest.fail("Airflow finds providers through their entry points: install this project first (pip install -e .)")
    with tempfile.TemporaryDirectory(prefix="knit-airflow-") as folder:
        dags = Path(folder) / "dags"
        shutil.copytree(EXAMPLES, dags / "examples", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(SCENARIOS, dags / "scenarios", ignore=shutil.ignore_patterns("__pycache__"))
        bed = AirflowProcesses(
            Path(folder) / "home",
            dags,
            quick=True,
            parallelism=12,
            variables={
                "AIRFLOW_CONN_KNIT_DEFAULT": connection(cluster),
                "AIRFLOW__KNIT__DEPLOYMENT": "bed",
                "AIRFLOW_VAR_LIVE_LOGS_PASSWORD": "swordfish-4711",
                "KNIT_EXAMPLE_CHANNEL": dask_channel,
                "KRB5_CONFIG": str(Path(folder) / "krb5.conf"),  # written by tests of a cluster with Kerberos
                **observers.variables,
            },
        )
        began = time.monotonic()
        try:
            bed.start(deadline=300)
            _measured["start"] = time.monotonic() - began
            _beds.append(bed)
            yield bed
            _measured["memory"] = bed.memory()
        finally:
            _beds.clear()
            bed.stop()
            assert not bed.living(), f"Airflow left processes behind: {bed.living()}"


@pytest.fixture
def dag_test(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`dag_test(dag, conf)` runs a DAG in this process (triggers inline) and returns the finished DagRun."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.utils.db import initdb

    monkeypatch.setenv("AIRFLOW_CONN_KNIT_DEFAULT", connection(cluster))
    if "initialised" not in _measured:
        initdb()
        _measured["initialised"] = 1

    def run(dag: Any, conf: dict[str, Any] | None = None) -> Any:
        with tempfile.TemporaryDirectory() as empty:
            DagBundlesManager().sync_bundles_to_db()
            bag = DagBag(empty)
            bag.bag_dag(dag)
            sync_bag_to_db(bag, "dags-folder", None)
        return dag.test(run_conf=conf or {})

    return run


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A part that an earlier test left dead, or that Airflow itself let die, is not this test's matter."""
    for bed in _beds:
        if "airflow" in getattr(item, "fixturenames", ()) and (mended := bed.mend()):
            item.user_properties.append(("note", f"before it, Airflow's {', '.join(mended)} had to be started again"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failed test under the real Airflow shows the ends of its parts' logs."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    bed = getattr(item, "funcargs", {}).get("airflow")
    if report.failed and isinstance(bed, AirflowProcesses):
        report.sections.append(("Airflow", "\n".join(f"==> {part} <==\n{bed.tail(part)}" for part in PARTS)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What the session's Airflow cost."""
    if "memory" in _measured:
        terminalreporter.write_line(
            f"Airflow: ready after {_measured['start']:.0f} s, {_measured['memory'] / 2**20:.0f} MiB at the end"
        )
