"""Queues of a Fair Scheduler, and of a Capacity Scheduler with queue mappings, queues that YARN creates, and ACLs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from knit_core import Knit, Outcome, State
from knit_core.errors import NotAuthorized, QueueRefused, SpecError
from knit_core.local import LocalCluster
from knit_core.local.plan import running_user
from tests.cluster_harness import client_of, own_cluster
from tests.fields_harness import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(300)]
SMALL = {"memory": 128, "vcores": 1}
AUTOMATIC = {
    # Created queues need weights; with them all queues have weights.
    f"{ROOT}.queues": "default,users,closed",
    f"{ROOT}.default.capacity": "1w",
    f"{ROOT}.users.capacity": "3w",
    f"{ROOT}.users.maximum-capacity": "100",
    f"{ROOT}.users.auto-queue-creation-v2.enabled": "true",
    f"{ROOT}.closed.capacity": "1w",
    f"{ROOT}.closed.acl_submit_applications": "bob",
    f"{ROOT}.closed.acl_administer_queue": " ",
    f"{ROOT}.acl_submit_applications": " ",
    f"{ROOT}.acl_administer_queue": " ",
    f"{ROOT}.default.acl_submit_applications": "*",
    f"{ROOT}.users.acl_submit_applications": "*",
    "yarn.scheduler.capacity.queue-mappings": "u:%user:root.users.%user",
    "yarn.acl.enable": "true",
    "yarn.admin.acl": running_user(),
}


@pytest.fixture(scope="module")
def fair() -> Iterator[LocalCluster]:
    """What `knit local up --scheduler fair` starts."""
    with own_cluster("fair", {}, ("default",), nodes=1, scheduler="fair") as cluster:
        yield cluster


@pytest.fixture
def on_fair(fair: LocalCluster) -> Iterator[Knit]:
    with client_of(fair) as client:
        yield client


@pytest.fixture(scope="module")
def automatic() -> Iterator[LocalCluster]:
    """A Capacity Scheduler that creates queues below root.users, and places applications that name no queue there."""
    with own_cluster("automatic", AUTOMATIC, ("default",), nodes=1) as cluster:
        yield cluster


@pytest.fixture
def on_automatic(automatic: LocalCluster) -> Iterator[Knit]:
    with client_of(automatic) as client:
        yield client


def run(knit: Knit, queue: str | None) -> tuple[str, list[str]]:
    """The queue in which YARN ran an application, and the warnings."""
    told: list[str] = []
    app = knit.submit("true", queue=queue, progress=told.append, **SMALL)
    assert app.wait(timeout=90).outcome is Outcome.SUCCEEDED
    return app.report().queue, [line for line in told if line.startswith("warning: ")]


def test_no_queue_an_undeclared_one_and_a_declared_one(on_fair: Knit) -> None:
    assert run(on_fair, None) == ("root.default", [])
    place, (warning,) = run(on_fair, "reports")
    assert place == "root.reports"
    assert warning.startswith("warning: there is no queue 'reports' at http://127.0.0.1:")
    assert "yet, YARN may create it" in warning
    assert "root.teams.science" in warning
    assert run(on_fair, "teams.science") == ("root.teams.science", [])
    assert run(on_fair, "root.teams.science") == ("root.teams.science", [])


def test_a_parent_is_refused_before_the_upload_and_in_words_after_it(on_fair: Knit) -> None:
    before = {app.id for app in on_fair.list(states=list(State))}
    with pytest.raises(QueueRefused) as caught:
        on_fair.submit("true", queue="teams", **SMALL)
    assert "The queue 'teams' only contains other queues; submit to one of: root.teams.science" in str(caught.value)
    assert "Nothing was uploaded or submitted." in str(caught.value)
    assert {app.id for app in on_fair.list(states=list(State))} == before
    with pytest.raises(QueueRefused) as caught:
        on_fair.submit("true", queue="teams", checks=False, **SMALL)
    assert "the queue root.teams only contains other queues: use a queue below it: root.teams.science" in str(
        caught.value
    )


def test_a_name_that_is_none(on_fair: Knit) -> None:
    """A Fair Scheduler that is sent one ends, and the ResourceManager with it."""
    with pytest.raises(SpecError, match=r"'a\.\.b' is not a valid name of a queue"):
        on_fair.submit("true", queue="a..b", checks=False, **SMALL)


def test_mappings_choose_the_queue_when_none_is_named(on_automatic: Knit) -> None:
    assert run(on_automatic, None) == ("root.users.alice", [])
    assert run(on_automatic, "root.default") == ("root.default", [])


def test_queues_that_the_capacity_scheduler_creates(on_automatic: Knit) -> None:
    place, (warning,) = run(on_automatic, "root.users.team")
    assert place == "root.users.team"
    assert "there is no queue 'root.users.team'" in warning
    assert run(on_automatic, "users.team") == ("root.users.team", [])  # now it is there: the path is sent


def test_a_queue_that_nobody_creates_is_refused_before_the_upload(on_automatic: Knit) -> None:
    with pytest.raises(QueueRefused) as caught:
        on_automatic.submit("true", queue="nowhere", **SMALL)
    assert "There is no queue 'nowhere'" in str(caught.value)
    assert "YARN creates queues below root.users: use root.users.nowhere." in str(caught.value)
    with pytest.raises(QueueRefused, match="there is no queue 'nowhere', and YARN does not create it"):
        on_automatic.submit("true", queue="nowhere", checks=False, **SMALL)


def test_an_acl_is_told_with_the_property_that_gives_the_right(on_automatic: Knit) -> None:
    with pytest.raises(NotAuthorized) as caught:
        on_automatic.submit("true", queue="root.closed", **SMALL)
    text = str(caught.value)
    assert "the user alice may not submit applications to the queue root.closed" in text
    assert f"{ROOT}.closed.acl_submit_applications" in text
    assert "or use another queue (root.default" in text
