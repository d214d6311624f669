"""The waiting machine: time-outs, passing faults, forgotten applications; and its two drivers, which must agree."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knit_airflow.triggers._application_wait import (
    FORGOTTEN_AFTER,
    ApplicationWait,
    Done,
    Sleep,
    Status,
    read_status,
    wait_blocking,
)
from knit_core.errors import ApplicationNotFound, ConnectionFailed, NotAuthorized
from tests.airflow.fake_knit import FakeApplication

RUNNING = Status("RUNNING, 0%")
FAULT = Status("connection refused", seen=False)
UNKNOWN = Status("not known", known=False)


def test_running_sleeps_for_the_interval() -> None:
    step = ApplicationWait(poll=10).next(RUNNING, now=0)
    assert isinstance(step, Sleep)
    assert 9.5 <= step.seconds <= 10.5


@pytest.mark.parametrize("outcome", ["SUCCEEDED", "FAILED", "KILLED"])
def test_an_end_is_an_end_even_after_the_deadline(outcome: str) -> None:
    step = ApplicationWait(poll=1, deadline=5).next(Status(outcome, outcome=outcome), now=99)
    assert step == Done("ended", outcome, outcome)


def test_deadline_cuts_the_last_sleep_and_then_times_out() -> None:
    waiting = ApplicationWait(poll=10, deadline=4)
    assert waiting.next(RUNNING, now=1) == Sleep(3)
    assert waiting.next(RUNNING, now=4) == Done("timeout", RUNNING.text)


def test_deadline_counts_while_the_cluster_is_out_of_reach() -> None:
    assert ApplicationWait(poll=1, deadline=4).next(FAULT, now=4) == Done("timeout", FAULT.text)


def test_passing_faults_are_waited_out() -> None:
    waiting = ApplicationWait(poll=1, retry_timeout=10)
    assert isinstance(waiting.next(FAULT, now=0), Sleep)
    assert isinstance(waiting.next(FAULT, now=9), Sleep)
    assert isinstance(waiting.next(RUNNING, now=10), Sleep)
    assert isinstance(waiting.next(FAULT, now=11), Sleep)
    assert isinstance(waiting.next(FAULT, now=20), Sleep)
    assert waiting.next(FAULT, now=21) == Done("unreachable", FAULT.text)


def test_refusal_ends_at_once() -> None:
    assert ApplicationWait(poll=1).next(Status("403", seen=False, refused=True), now=0) == Done("refused", "403")


def test_only_repeated_404s_mean_lost() -> None:
    waiting = ApplicationWait(poll=1)
    for _ in range(FORGOTTEN_AFTER - 1):
        assert isinstance(waiting.next(UNKNOWN, now=0), Sleep)
    assert isinstance(waiting.next(RUNNING, now=0), Sleep)
    for _ in range(FORGOTTEN_AFTER - 1):
        assert isinstance(waiting.next(UNKNOWN, now=0), Sleep)
    assert waiting.next(UNKNOWN, now=0) == Done("ended", UNKNOWN.text, "LOST")


LOOKS = st.sampled_from([RUNNING, FAULT, UNKNOWN, Status("x", seen=False, refused=True), Status("y", outcome="FAILED")])


@given(st.lists(LOOKS, max_size=30), st.one_of(st.none(), st.floats(0, 20)))
def test_sleeps_are_never_negative_nor_past_the_deadline(looks: list[Status], deadline: float | None) -> None:
    waiting = ApplicationWait(poll=1, deadline=deadline, retry_timeout=5)
    for now, seen in enumerate(looks):
        step = waiting.next(seen, float(now))
        if isinstance(step, Done):
            assert Done.from_event(json.loads(json.dumps(step.to_event("application_1_0001")))) == step
            return
        assert step.seconds >= 0
        assert deadline is None or now + step.seconds <= deadline + 1e-9


def test_looks_tell_faults_apart() -> None:
    app = FakeApplication("application_1_0001")
    app.fails = [ConnectionFailed("gone"), NotAuthorized("403", status=403), ApplicationNotFound("404", status=404)]
    fault, refused, unknown = read_status(app), read_status(app), read_status(app)
    assert (fault.seen, fault.refused, fault.known) == (False, False, True)
    assert (refused.seen, refused.refused) == (False, True)
    assert not unknown.known
    app.end("FAILED", "main_0 exited with 3")
    assert read_status(app) == Status("FAILED: main_0 exited with 3", outcome="FAILED", state="FINISHED")


@pytest.mark.parametrize("outcome", ["SUCCEEDED", "FAILED"])
def test_the_blocking_driver_goes_on_to_the_end(outcome: str) -> None:
    app = FakeApplication("application_1_0001")
    app.fails = [ConnectionFailed("gone")]
    app.ends_after, app.outcome = 3, outcome
    looks: list[Status] = []
    assert wait_blocking(app, ApplicationWait(poll=0.01), on_status=looks.append) == Done("ended", outcome, outcome)
    assert len(looks) == 5


def test_stop_interrupts_a_long_sleep() -> None:
    asked: list[int] = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) > 2

    began = time.monotonic()
    assert wait_blocking(FakeApplication("application_1_0001"), ApplicationWait(poll=3600), stopped=stopped) is None
    assert time.monotonic() - began < 5
