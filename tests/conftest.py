"""Beds for all tests, and CI's rule that nothing is skipped there."""

from __future__ import annotations

import os

import pytest

pytest_plugins = [
    "tests.cluster_bed",
    "tests.channel_bed",
    "tests.wheel_bed",
    "tests.airflow_bed",
    "tests.observing_bed",
    "tests.dask_bed",
    "tests.browser_bed",
]

_ORDER = ("unit", "cluster", "airflow")


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first: what is broken in the core should not be found by Airflow.

    With pytest-xdist (`-n 2 --dist loadgroup`) those that share daemons stay together in one process, Airflow's with a
    cluster of their own; all others go by file.
    """

    def rank(item: pytest.Item) -> int:
        parts = item.path.parts
        return next((index for index, name in enumerate(_ORDER) if name in parts), len(_ORDER))

    items.sort(key=rank)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    fixtures = set(getattr(item, "fixturenames", ()))
    if "airflow" in fixtures or ("airflow" in item.path.parts and "cluster" in fixtures):
        return "airflow"
    return "cluster" if "cluster" in fixtures else item.path.stem


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Under CI every program that a test needs is installed: a skipped test is a failure there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped") and exitstatus == 0:
        reporter.write_line("tests were skipped, which CI takes for a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
