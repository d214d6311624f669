"""The loggers below `knit_core`: requests at DEBUG; launch steps, retries and changes of address at INFO; never a secret."""

from __future__ import annotations

import logging
import re
from contextlib import closing

import pytest

from knit_core import Knit
from tests.fake_cluster import FakeCluster
from tests.simulated_clock import SimulatedClock

PASSWORD = "correct-horse-battery"
GONE = "http://127.0.0.1:9"  # nothing listens there


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "knit_core")
    return caplog


def _lines(records: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [
        each.getMessage() for each in records.records if each.levelno == level and each.name.startswith("knit_core.")
    ]


def test_a_launch_tells_its_steps_requests_and_changes_of_address(records: pytest.LogCaptureFixture) -> None:
    with closing(FakeCluster()) as fake:
        options = {
            "namenode": f"{GONE},{fake.address}",
            "filesystem": "hdfs://nn:8020",
            "auth": "basic",
            "password": PASSWORD,
        }
        with Knit(f"{GONE},{fake.address}", user="alice", options=options) as knit:
            knit.clock = SimulatedClock()
            app = knit.submit("true", memory=128, variables={"TOKEN": PASSWORD}, checks=False)
            secret = knit.user_key.application_secret(app.id)
    requests = _lines(records, logging.DEBUG)
    assert any(re.fullmatch(rf"POST {fake.address}/ws/v1/cluster/apps: 202", line) for line in requests)
    assert any(("CREATE PUT" in line and "/apps" in line) or "/cache/" in line for line in requests)
    assert "launch: submit" in requests
    told = "\n".join(_lines(records, logging.INFO))
    assert f"the next address is {fake.address}" in told
    assert "upload " in told
    whole = "\n".join(each.getMessage() for each in records.records)
    for hidden in (PASSWORD, secret.hex(), "user.name="):
        assert hidden not in whole


def test_a_retry_is_told_with_its_reason(records: pytest.LogCaptureFixture) -> None:
    with Knit(GONE, user="alice") as knit:
        knit.clock = SimulatedClock()
        knit.resourcemanager.http._has_answered = True
        with pytest.raises(Exception, match="connection refused"):
            knit.resourcemanager.info()
    told = _lines(records, logging.INFO)
    assert re.match(r"try 1 failed, the next one follows in [\d.]+ s: .*connection refused", told[0])
    assert len(told) > 2
