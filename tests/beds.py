"""Ends the session's Airflow and cluster after the last test that uses them.

A plugin, because hooks of a conftest.py are not called for fixtures of the session.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.groups import OWN_DAEMONS, group

#: The groups whose tests use the session's Airflow and its cluster.
_USERS = {"airflow": {"airflow"}, "cluster": {"cluster", "airflow", "faults", *OWN_DAEMONS[:2]}}
#: The session's Airflow and cluster, while they are there.
_beds: list[pytest.FixtureDef[Any]] = []


def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
    """Note the session's Airflow and cluster."""
    if fixturedef.argname in _USERS and fixturedef.scope == "session":
        _beds.append(fixturedef)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the session's Airflow and cluster after the last test that uses them: idle, they take half a processor."""
    if nextitem is None or not hasattr(item.config, "workerinput"):
        return
    after = group(nextitem.nodeid.partition("::")[0])
    for fixture in [each for each in reversed(_beds) if after not in _USERS[each.argname]]:
        _beds.remove(fixture)
        fixture.finish(item._request)  # type: ignore[attr-defined]  # and those that use it
