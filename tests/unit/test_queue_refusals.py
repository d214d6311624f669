"""YARN's refusals because of a queue, told with who, which queue, which property, and what to do."""

from __future__ import annotations

from typing import Any, cast

import pytest

from knit_core.errors import (
    ApplicationNotFound,
    ConnectionFailed,
    NotAuthorized,
    QueueRefused,
    RequestRefused,
    ServiceUnavailable,
)
from knit_core.hadoop.resource_manager import ResourceManager
from knit_core.launch.submission import submit, wait_accepted
from knit_core.model.cluster_facts import Queue
from knit_core.model.report import ApplicationReport
from knit_core.model.result import Result
from knit_core.model.states import Outcome, State
from knit_core.monitoring.diagnosis import why_ended
from knit_core.monitoring.refusals import refusal_of
from tests.simulated_clock import SimulatedClock

APP = "application_1_0001"
CAPACITY = [
    Queue("root", "root", False, True),
    Queue("default", "root.default", True, True),
    Queue("teams", "root.teams", False, True),
    Queue("science", "root.teams.science", True, True),
]
FAIR = [
    Queue("root", "root", False, True, makes=True, by_path=True),
    Queue("prod", "root.prod", False, True, makes=True, by_path=True),
    Queue("etl", "root.prod.etl", True, True, by_path=True),
]
# As seen, and as in RMAppManager, CapacityScheduler, AbstractLeafQueue, FairScheduler and the placement rules of Hadoop 3.4.2.
ACL = (
    "java.lang.Exception: org.apache.hadoop.security.AccessControlException: User bob does not have permission to submit "
    f"{APP} to queue default"
)
FAIR_ACL = (
    f"org.apache.hadoop.security.AccessControlException: User carol does not have permission to submit {APP} to queue "
    "root.prod.etl denied by ACL for queue root.prod"
)


@pytest.mark.parametrize(
    ("words", "queues", "text", "advice"),
    [
        (
            ACL,
            CAPACITY,
            "the user bob may not submit applications to the queue root.default",
            "an administrator can give bob or one of their groups that right "
            "(yarn.scheduler.capacity.root.default.acl_submit_applications, or the same of a queue above it); "
            "or use another queue (root.teams.science)",
        ),
        (
            f"User bob does not have permission to submit {APP} to queue science",
            CAPACITY,
            "the user bob may not submit applications to the queue root.teams.science",
            "yarn.scheduler.capacity.root.teams.science.acl_submit_applications",
        ),
        (
            FAIR_ACL,
            FAIR,
            "the user carol may not submit applications to the queue root.prod.etl (the ACL of root.prod decides)",
            "(<aclSubmitApps> of the queue root.prod in the allocation file, or the same of a queue above it)",
        ),
        (
            ACL,
            [],
            "the queue root.default",
            "acl_submit_applications; Fair Scheduler: <aclSubmitApps> of the queue root.default",
        ),
        (
            f"Application {APP} submitted by user alice to unknown queue: users.alice",
            CAPACITY,
            "there is no queue 'users.alice', and YARN does not create it",
            "use another queue (root.default, root.teams.science)",
        ),
        (
            f"Application {APP} submitted by user alice to ambiguous queue: etl please use full queue path instead.",
            [Queue("etl", "root.a.etl", True, True), Queue("etl", "root.b.etl", True, True)],
            "several queues have the name 'etl'",
            "give the queue's path: root.a.etl, root.b.etl",
        ),
        (
            f"Application {APP} submitted by user : alice to non-leaf queue : teams",
            CAPACITY,
            "the queue root.teams only contains other queues",
            "use a queue below it: root.teams.science",
        ),
        ("root.users is not a leaf queue", FAIR, "the queue root.users only contains", "below it, root.users.<name>"),
        (
            f"org.apache.hadoop.security.AccessControlException: Queue root.teams.science is STOPPED. Cannot accept submission "
            f"of application: {APP}",
            CAPACITY,
            "the queue root.teams.science is stopped, or one above it is",
            "use another queue (root.default), or ask an administrator to start it",
        ),
        (
            f"Queue root.default already has 3 applications, cannot accept submission of application: {APP}",
            CAPACITY,
            "as many applications as it may have (3)",
            "knit list --queue default",
        ),
        (
            f"Reject application {APP} submitted by user alice application rejected by placement rules.",
            FAIR,
            "the cluster's placement rules have no queue for it",
            "name a queue",
        ),
        (
            "Application submission have been rejected by a mapping rule. Please see the logs for details",
            CAPACITY,
            "the cluster's placement rules have no queue for it",
            "or name none",
        ),
        (
            f"Application {APP} submission by user : alice to specified queue : users.alice  is prohibited. Verify automatic "
            "queue mapping for user exists in yarn.scheduler.capacity.queue-mappings",
            CAPACITY,
            "the queue root.users.alice is only for applications that a queue mapping places there",
            "name no queue",
        ),
        (
            "Application submitted by user alicewith illegal queue name 'a..b'.",
            FAIR,
            "'a..b' is not a valid name of a queue",
            "root.teams.science",
        ),
    ],
)
def test_each_refusal_in_words(words: str, queues: list[Queue], text: str, advice: str) -> None:
    refusal = refusal_of(words, queues)
    assert refusal is not None
    assert text in refusal.text
    assert advice in refusal.advice
    assert refusal.permission == ("does not have permission" in words)
    why = str(why_ended(Result(APP, Outcome.FAILED, diagnostics=words), None))
    assert why.startswith("Failed: YARN refused it, as ")
    assert "  → " in why
    assert " ".join(words.split()) in why  # YARN's own words stay readable


@pytest.mark.parametrize(
    "words",
    ["", "AM Container for appattempt_1 exited with exitCode: 1", "Target queue x not found or is not a leaf queue.",
     "Application is added to the scheduler and is not yet activated. Queue's AM resource limit exceeded."],
)  # fmt: skip
def test_other_words_are_no_refusal_of_a_queue(words: str) -> None:
    assert refusal_of(words, CAPACITY) is None


class _ResourceManager:
    """Refuses a submission at once, or accepts it and tells the refusal as the application's diagnostics."""

    address = "http://rm:8088"

    def __init__(self, words: str, *, at_once: bool, queues: Any = CAPACITY) -> None:
        self.words, self.at_once, self.reply = words, at_once, queues

    def submit(self, _body: Any, _retry: Any) -> None:
        if self.at_once:
            raise RequestRefused(self.words, status=400, exception="BadRequestException", action=f"submit {APP}")

    def app(self, _app_id: str, _retry: Any = None) -> ApplicationReport:
        if self.at_once:
            raise ApplicationNotFound(APP)
        return ApplicationReport(APP, "x", "bob", "default", State.FAILED, Outcome.FAILED, 0.0, self.words)

    def queues(self) -> list[Queue]:
        if isinstance(self.reply, Exception):
            raise self.reply
        return cast("list[Queue]", self.reply)


class _Cluster:
    def __init__(self, rm: _ResourceManager) -> None:
        self.resourcemanager, self.clock = rm, SimulatedClock()


def _launch(rm: _ResourceManager) -> None:
    cluster = cast("Any", _Cluster(rm))
    submit(cluster, {"application-id": APP}, print)
    wait_accepted(cluster, {"application-id": APP}, print)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("queues", [CAPACITY, [], NotAuthorized("no", status=403), ConnectionFailed("away")])
def test_who_may_not_submit_to_a_queue_is_told_which_property_gives_the_right(at_once: bool, queues: Any) -> None:
    with pytest.raises(NotAuthorized) as caught:
        _launch(_ResourceManager(ACL, at_once=at_once, queues=queues))
    text = str(caught.value)
    assert text.startswith(
        f"submit {APP}: YARN at http://rm:8088 refused it, as the user bob may not submit applications to the queue "
        "root.default: an administrator can give bob"
    )
    assert "yarn.scheduler.capacity.root.default.acl_submit_applications" in text
    assert text.endswith(f"YARN's words: {ACL}")
    assert caught.value.address == "http://rm:8088"
    assert not caught.value.transient


@pytest.mark.parametrize("at_once", [True, False])
def test_a_queue_that_yarn_does_not_take_is_told(at_once: bool) -> None:
    words = f"Application {APP} submitted by user alice to unknown queue: users.alice"
    with pytest.raises(QueueRefused, match=r"there is no queue 'users\.alice'.*root\.teams\.science"):
        _launch(_ResourceManager(words, at_once=at_once))
    with pytest.raises(RequestRefused) as caught:  # of another kind: as YARN says it
        _launch(_ResourceManager("Invalid resource request", at_once=at_once))
    assert "Invalid resource request" in str(caught.value)
    assert type(caught.value) is RequestRefused


class _Moving(ResourceManager):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def _change(self, *_arguments: Any) -> None:
        raise self.error


def test_a_move_to_a_queue_without_permission() -> None:
    words = f"User bob cannot submit applications to target queue or the target queue doesn't exist: root.prod while moving {APP}"
    for error in (NotAuthorized(words, status=403), RequestRefused(words)):
        with pytest.raises(NotAuthorized, match=r"root\.prod\.acl_submit_applications"):
            _Moving(error).move(APP, "root.prod")
    with pytest.raises(QueueRefused, match="Target queue x not found"):
        _Moving(RequestRefused("Target queue x not found or is not a leaf queue.")).move(APP, "x")
    for passed_on in (ApplicationNotFound("gone"), ServiceUnavailable("busy")):
        with pytest.raises(type(passed_on)):
            _Moving(passed_on).move(APP, "x")
