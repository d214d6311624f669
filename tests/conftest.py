"""Beds for all tests, and CI's rule that nothing is skipped there."""

from __future__ import annotations

import os

import pytest

pytest_plugins = [
    "tests.cluster_bed",
    "tests.channel_bed",
    "tests.wheel_bed",
    "tests.airflow_bed",
    "tests.dask_bed",
    "tests.browser_bed",
]

_ORDER = ("unit", "cluster", "airflow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first: what is broken in the core should not be found by Airflow."""

    def rank(item: pytest.Item) -> int:
        parts = item.path.parts
        return next((index for index, name in enumerate(_ORDER) if name in parts), len(_ORDER))

    items.sort(key=rank)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Under CI every program that a test needs is installed: a skipped test is a failure there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped") and exitstatus == 0:
        reporter.write_line("tests were skipped, which CI takes for a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
