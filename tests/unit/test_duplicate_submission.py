"""Submissions in doubt: two processes with one claim submit one id at the same moment, a ResourceManager dies between its
202 and storing the application."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from knit_core.errors import ApplicationNotFound, ConnectionFailed, RequestRefused, ServiceUnavailable
from knit_core.launch.submission import submit, wait_accepted
from knit_core.model.states import State
from tests.simulated_clock import SimulatedClock

APP = "application_1_0001"
DUPLICATE = f"Application with id {APP} is already present! Cannot add a duplicate!"


class ResourceManager:
    """Refuses a submission with these words."""

    def __init__(self, words: str, known: bool) -> None:
        self.words, self.known = words, known

    def submit(self, _body: Any, _retry: Any) -> None:
        raise RequestRefused(self.words)

    def app(self, app_id: str, _retry: Any) -> str:
        if not self.known:
            raise ApplicationNotFound(app_id)
        return app_id


class Cluster:
    """No more than a submission needs."""

    def __init__(self, rm: ResourceManager) -> None:
        self.resourcemanager, self.clock = rm, SimulatedClock()


def _post(words: str, known: bool) -> None:
    submit(cast("Any", Cluster(cast("Any", ResourceManager(words, known)))), {"application-id": APP}, print)


def test_the_other_one_has_submitted_it() -> None:
    _post(DUPLICATE, known=True)


def test_other_refusals_are_refusals() -> None:
    with pytest.raises(RequestRefused, match="queue"):
        _post("no such queue", known=True)
    with pytest.raises(RequestRefused, match="duplicate"):
        _post(DUPLICATE, known=False)


class Restarting:
    """A ResourceManager that dies after it has stored what the first request brought, and reads its records for a while.

    A submission that it gets meanwhile is the end of it, as with Hadoop's: it finds the application twice.
    """

    def __init__(self, clock: SimulatedClock, *, dies: bool) -> None:
        self.clock, self.stored, self.starts_until = clock, not dies, clock.now + (0.0 if dies else 30.0)
        self.submissions = 0

    def _starting(self) -> bool:
        return self.clock.now < self.starts_until

    def check_active(self, action: str) -> None:
        if self._starting():
            raise ServiceUnavailable(f"{action}: it is starting")

    def submit(self, _body: Any, _retry: Any) -> None:
        assert not (self.stored and self._starting()), "it ended itself"
        self.submissions += 1
        if not self.stored:
            self.stored, self.starts_until = True, self.clock.now + 30.0
            raise ConnectionFailed("the reply was lost")
        raise RequestRefused(DUPLICATE)

    def app(self, app_id: str, _retry: Any) -> str:
        self.check_active("ask")
        if not self.stored:
            raise ApplicationNotFound(app_id)
        return app_id


@pytest.mark.parametrize("dies", [True, False], ids=["my-reply-is-lost", "another-process-submitted-it"])
def test_a_resourcemanager_that_reads_its_records_gets_no_second_submission(dies: bool) -> None:
    clock = SimulatedClock()
    rm = Restarting(clock, dies=dies)
    cluster = Cluster(cast("Any", rm))
    cluster.clock = clock
    submit(cast("Any", cluster), {"application-id": APP}, print, shared=True)
    assert rm.submissions == (1 if dies else 0)
    assert clock.now >= rm.starts_until


class Forgetting:
    """A ResourceManager that answers 202 and dies before it has stored the application, so many times."""

    address = "http://rm:8088"

    def __init__(self, clock: SimulatedClock, deaths: int, restart: float = 10.0) -> None:
        self.clock, self.deaths, self.restart = clock, deaths, restart
        self.submissions, self.stored, self.starts_until = 0, False, clock.now

    def check_active(self, action: str) -> None:
        if self.clock.now < self.starts_until:
            raise ServiceUnavailable(f"{action}: it is starting")

    def submit(self, _body: Any, _retry: Any) -> None:
        self.check_active("submit")
        self.submissions += 1
        self.stored = self.submissions > self.deaths
        self.starts_until = self.clock.now + (0.0 if self.stored else self.restart)

    def app(self, app_id: str, _retry: Any = None) -> Any:
        self.check_active("ask")
        if not self.stored:
            raise ApplicationNotFound(app_id)
        return SimpleNamespace(state=State.ACCEPTED, attempt=1)


def test_what_was_lost_after_its_202_is_submitted_again() -> None:
    clock = SimulatedClock()
    cluster: Any = SimpleNamespace(clock=clock, resourcemanager=Forgetting(clock, deaths=2))
    body, said = {"application-id": APP}, list[str]()
    submit(cluster, body, said.append)
    assert wait_accepted(cluster, body, said.append)
    assert cluster.resourcemanager.submissions == 3
    assert said.count(f"the ResourceManager was restarted before it had stored {APP}: submitting again") == 2


def test_what_is_lost_each_time_is_told_after_a_minute() -> None:
    clock = SimulatedClock()
    cluster: Any = SimpleNamespace(clock=clock, resourcemanager=Forgetting(clock, deaths=1_000_000, restart=0.0))
    body, begun = {"application-id": APP}, clock.now
    submit(cluster, body, print)
    with pytest.raises(ApplicationNotFound):
        wait_accepted(cluster, body, print)
    assert clock.now - begun < 65
    assert cluster.resourcemanager.submissions < 70
