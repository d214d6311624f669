"""Beds for all tests, CI's rule that nothing is skipped there, and the rule that a failed race is not repeated."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import guard
from tests.groups import OWN_DAEMONS, group

pytest_plugins = [
    "tests.beds",
    "tests.cluster_harness",
    "tests.httpfs_harness",
    "tests.channel_harness",
    "tests.wheel_harness",
    "tests.airflow_harness",
    "tests.observability_harness",
    "tests.dask_harness",
    "tests.browser_harness",
    "tests.kerberos_harness",
]

# A busy machine is not a fault of the code that is tested.
settings.register_profile("knit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("knit")

RACE_FAILED = 10  # the exit code with which `make test` does not run what failed once more
_ORDER = ("unit", "cluster", "airflow", "faults")
#: With several processes the groups that take longest begin, so that none is left alone in the end.
_LONGEST_FIRST = ("cluster", "airflow", "faults", *OWN_DAEMONS)


def pytest_configure(config: pytest.Config) -> None:
    """What this process starts is ended with it, even when it is killed."""
    watcher = guard.start()

    def call_off() -> None:
        watcher.kill()
        watcher.wait()

    config.add_cleanup(call_off)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Quick tests first: what is broken in the core should not be found by Airflow. Side by side: what takes long first."""

    def rank(item: pytest.Item) -> int:
        if hasattr(config, "workerinput"):
            own = group(item.nodeid.partition("::")[0])
            return _LONGEST_FIRST.index(own) if own in _LONGEST_FIRST else len(_LONGEST_FIRST)
        parts = item.path.parts
        return next((index for index, name in enumerate(_ORDER) if name in parts), len(_ORDER))

    items.sort(key=rank)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What the beds had to mend before a test could begin."""
    notes = {
        (report.nodeid, str(note))
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, note in getattr(report, "user_properties", ())
        if name == "note"
    }
    for nodeid, note in sorted(notes):
        terminalreporter.write_line(f"{nodeid}: {note}")


def _failed_races(reporter: Any) -> list[str]:
    """Tests with the marker `race` that failed: a second run would hide a fault that shows now and then."""
    stats = reporter.stats if reporter is not None else {}
    reports = [*stats.get("failed", ()), *stats.get("error", ())]
    return sorted({report.nodeid for report in reports if "race" in getattr(report, "keywords", ())})


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With pytest-xdist (`-n 2`) those that share daemons stay together in one process each; all others go by file.

    (Its own groups, `--dist loadgroup`, do nothing under pytest 9.2, which no longer lets it rename tests.)
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByDaemons(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid.partition("::")[0])

    config.option.loadscopereorder = False  # by _LONGEST_FIRST, not by number of tests
    return ByDaemons(config, log)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Under CI a skipped test is a failure: every program that one needs is installed. A failed race has its own code."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    races = _failed_races(reporter)
    if races and exitstatus == pytest.ExitCode.TESTS_FAILED:
        reporter.ensure_newline()
        reporter.write_line(f"failed and must not be repeated (marker race): {', '.join(races)}", red=True)
        session.exitstatus = RACE_FAILED
        return
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped") and exitstatus == 0:
        reporter.write_line("tests were skipped, which CI takes for a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
