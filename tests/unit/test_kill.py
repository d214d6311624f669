"""Ending an application that YARN is slow to end."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from knit_core.application import Application
from knit_core.errors import WaitTimeout
from knit_core.model.report import ApplicationReport
from knit_core.model.states import State
from tests.simulated_clock import SimulatedClock

ID = "application_1_0001"


def test_an_application_that_yarn_does_not_end_in_time_is_said_to_be_that() -> None:
    clock, killed = SimulatedClock(), []
    report = ApplicationReport(ID, "n", "u", "q", State.ACCEPTED, None)
    rm = SimpleNamespace(app=lambda _id: report, kill=lambda app_id, reason: killed.append((app_id, reason)))
    cluster = SimpleNamespace(
        resourcemanager=rm, clock=clock, config=SimpleNamespace(user="alice"), application_master=lambda *_args: None
    )
    begun = clock.now
    with pytest.raises(
        WaitTimeout, match="YARN accepted the kill, but the application had not ended 30 s later"
    ) as caught:
        Application(cluster, ID).kill("enough", grace="30 s")  # type: ignore[arg-type]
    assert "attach" not in str(caught.value)
    assert killed == [(ID, "enough")]
    assert 30 <= clock.now - begun < 32
    assert "WaitTimeout" in (Application.kill.__doc__ or "")
