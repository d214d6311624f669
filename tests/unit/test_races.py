"""A failed test with the marker `race` gives the run another exit code, with which `make test` repeats nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.conftest import RACE_FAILED, pytest_sessionfinish


def _finish(keywords: dict[str, int], status: int = pytest.ExitCode.TESTS_FAILED, stat: str = "failed") -> int:
    report = SimpleNamespace(nodeid="tests/x.py::test_x", keywords=keywords)
    reporter = SimpleNamespace(stats={stat: [report]}, ensure_newline=lambda: None, write_line=lambda *_, **__: None)
    plugins = SimpleNamespace(get_plugin=lambda name: reporter)
    session = SimpleNamespace(config=SimpleNamespace(pluginmanager=plugins), exitstatus=int(status))
    pytest_sessionfinish(session, status)  # type: ignore[arg-type]
    return session.exitstatus


@pytest.mark.parametrize("stat", ["failed", "error"])
def test_a_failed_race_is_not_repeated(stat: str) -> None:
    assert _finish({"race": 1}, stat=stat) == RACE_FAILED != pytest.ExitCode.TESTS_FAILED


def test_other_failures_are() -> None:
    assert _finish({"cluster": 1}) == pytest.ExitCode.TESTS_FAILED


def test_an_interrupted_run_stays_one() -> None:
    assert _finish({"race": 1}, pytest.ExitCode.INTERRUPTED) == pytest.ExitCode.INTERRUPTED
