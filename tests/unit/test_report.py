"""Reports from what the ResourceManager sends: sparse, odd and complete ones."""

from __future__ import annotations

import json

import pytest

from knit_core.model.report import parse_report
from knit_core.model.states import Outcome, State, outcome_of


def test_a_fresh_application() -> None:
    report = parse_report({"id": "application_1_0001", "state": "NEW", "trackingUrl": "UNASSIGNED"}, "http://rm:8088")
    assert (report.state, report.outcome, report.ended, report.attempt, report.tracking_url) == (
        *(State.NEW, None, False, 0, ""),
    )
    assert report.page == "http://rm:8088/cluster/app/application_1_0001"


@pytest.mark.parametrize(
    ("base", "said", "url"),
    [
        ("http://rm:8088", "http://rm2:8088/proxy/x/", "http://rm2:8088/proxy/x/"),
        ("http://rm:8088", "N/A", "N/A"),
        (
            "https://knox/gateway/d/yarn",
            "https://other:1/gateway/d/yarn/proxy/x/",
            "https://knox/gateway/d/yarn/proxy/x/",
        ),
        ("https://knox/gateway/d/yarn", "/gateway/d/yarn/proxy/x/", "https://knox/gateway/d/yarn/proxy/x/"),
        ("https://knox/gateway/d/yarn", "http://rm:8088/proxy/x/", "http://rm:8088/proxy/x/"),
    ],
)
def test_the_tracking_url_at_a_gateway_is_at_the_address_in_use(base: str, said: str, url: str) -> None:
    assert parse_report({"id": "a", "state": "RUNNING", "trackingUrl": said}, base).tracking_url == url


def test_an_ended_one() -> None:
    app = {
        "id": "application_1_0001", "state": "FINISHED", "finalStatus": "SUCCEEDED", "progress": 150.0, "allocatedMB": -1,
        "finishedTime": 5, "applicationTags": "a,b", "amRPCAddress": "N/A:-1",
        "amContainerLogs": "http://n:8042/node/containerlogs/container_1_0001_02_000001/alice",
    }  # fmt: skip
    report = parse_report(app, "http://rm")
    assert (report.outcome, report.progress, report.memory, report.finished_at) == (Outcome.SUCCEEDED, 1.0, 0, 5)
    assert (report.tags, report.master, report.attempt) == (("a", "b"), "", 2)
    assert json.loads(json.dumps(report.to_dict()))["outcome"] == "SUCCEEDED"
    running = parse_report({**app, "state": "RUNNING", "amRPCAddress": "node07:40001"}, "http://rm")
    assert (running.finished_at, running.master, running.outcome) == (None, "node07:40001", None)


@pytest.mark.parametrize("final", ["SUCCEEDED", "FAILED", "KILLED", "UNDEFINED"])
@pytest.mark.parametrize("state", list(State))
def test_outcomes(state: State, final: str) -> None:
    expected = None
    if state in {State.FINISHED, State.FAILED, State.KILLED}:
        expected = Outcome.FAILED
        if state is State.KILLED or final == "KILLED":
            expected = Outcome.KILLED
        elif (state, final) == (State.FINISHED, "SUCCEEDED"):
            expected = Outcome.SUCCEEDED
    assert outcome_of(state, final) is expected
