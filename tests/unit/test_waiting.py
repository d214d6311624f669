"""Waiting with a clock of its own: deadline, pace, patience with faults, and what is forgotten by YARN."""

from __future__ import annotations

import sys

import pytest

from knit_core.errors import ApplicationNotFound, ConnectionFailed, NotAuthorized, WaitTimeout
from knit_core.model.report import ApplicationReport
from knit_core.model.states import Outcome, State
from knit_core.monitoring.wait import Done, Sleep, Waiter, drive
from knit_core.monitoring.wait_state import GiveUp, WaitState
from tests.simulated_clock import SimulatedClock

RUNS = ApplicationReport("application_1_0001", "n", "u", "q", State.RUNNING, None, progress=0.25, diagnostics="busy")
ENDED = ApplicationReport("application_1_0001", "n", "u", "q", State.FINISHED, Outcome.SUCCEEDED)
BROKEN = ConnectionFailed("broken")


def _waiter(**changes: float | None) -> Waiter:
    return Waiter(app_id="application_1_0001", jitter=lambda: 0.5, **changes)  # type: ignore[arg-type]


def _seconds(step: Sleep | Done) -> float:
    assert isinstance(step, Sleep)
    return step.seconds


def test_an_end_is_an_end_even_after_the_deadline() -> None:
    assert _waiter(deadline=1).on_report(ENDED, 100.0) == Done(ENDED)


def test_the_pace_slows_down_to_poll() -> None:
    waiter = _waiter(poll=2.0)
    paces = [_seconds(waiter.on_report(RUNS, float(n))) for n in range(40)]
    assert paces[0] == pytest.approx(0.13)
    assert paces == sorted(paces)
    assert paces[-1] == pytest.approx(2.0)


def test_many_waiters_are_spread() -> None:
    early, late = Waiter(app_id="a", jitter=lambda: 0.0), Waiter(app_id="a", jitter=lambda: 1.0)
    for now in range(30):
        low, high = _seconds(early.on_report(RUNS, now)), _seconds(late.on_report(RUNS, now))
    assert (low, high) == (pytest.approx(0.9), pytest.approx(1.1))


def test_the_deadline_is_not_slept_over_and_says_what_was_seen() -> None:
    waiter = _waiter(deadline=15.0, poll=60.0, started=5.0)
    waiter.pace = 60.0
    assert _seconds(waiter.on_report(RUNS, 12.0)) == pytest.approx(3.0)
    with pytest.raises(WaitTimeout) as caught:
        waiter.on_report(RUNS, 15.0)
    assert "had not ended after 10.0 s; last seen: RUNNING, 25%, busy. It goes on" in str(caught.value)


def test_a_deadline_without_any_look() -> None:
    with pytest.raises(WaitTimeout, match="last seen: nothing"):
        _waiter(deadline=0.0).on_error(BROKEN, 0.0)


def test_transient_faults_are_forgiven_for_so_long() -> None:
    waiter = _waiter(retry_timeout=100.0)
    assert isinstance(waiter.on_error(BROKEN, 0.0), Sleep)
    assert isinstance(waiter.on_error(BROKEN, 99.9), Sleep)
    waiter.on_report(RUNS, 101.0)  # patience begins anew
    assert isinstance(waiter.on_error(BROKEN, 150.0), Sleep)
    assert isinstance(waiter.on_error(BROKEN, 249.9), Sleep)
    with pytest.raises(ConnectionFailed):
        waiter.on_error(BROKEN, 250.0)


def test_other_faults_are_raised_at_once_and_not_found_is_an_end() -> None:
    with pytest.raises(NotAuthorized):
        _waiter().on_error(NotAuthorized("no"), 0.0)
    assert _waiter(deadline=0.0).on_error(ApplicationNotFound("gone"), 9.0) == Done(None)


def test_a_wait_that_is_late_and_out_of_reach_raises_the_error() -> None:
    waiter = _waiter(deadline=10.0, retry_timeout=5.0)
    waiter.on_error(BROKEN, 0.0)
    with pytest.raises(ConnectionFailed):
        waiter.on_error(BROKEN, 10.0)


def test_the_shared_state_gives_all_reasons() -> None:
    """Python callers and Airflow's tasks choose among them by themselves."""
    state = WaitState(1.0, 10.0, retry_timeout=5.0, forgotten_after=2, jitter=lambda: 0.5)
    assert state.on_known(0.0) == Sleep(1.0), "without a pace, every pause is as long as `poll`"
    assert state.on_unknown(1.0) == Sleep(1.0)
    assert state.on_fault(2.0) == Sleep(1.0)
    assert state.on_unknown(3.0) == Sleep(1.0), "a fault lies between the two answers"
    assert state.on_unknown(4.0) == GiveUp(forgotten=True)
    state.recovered()
    assert state.on_fault(5.0) == Sleep(1.0)
    assert state.on_fault(9.5) == Sleep(0.5), "never beyond the deadline"
    assert state.on_fault(10.0) == GiveUp(timeout=True, unreachable=True)
    assert state.on_known(10.0) == GiveUp(timeout=True)


def _script() -> list[ApplicationReport | Exception]:
    return [RUNS, BROKEN, RUNS, ENDED]


def test_each_report_is_shown_and_faults_are_not() -> None:
    script, seen = iter(_script()), list[ApplicationReport]()

    def look() -> ApplicationReport:
        step = next(script)
        if isinstance(step, Exception):
            raise step
        return step

    assert drive(_waiter(poll=0.001), look, seen.append) is ENDED
    assert seen == [RUNS, RUNS, ENDED]


def test_a_simulated_year_passes_with_memory_and_cost_constant() -> None:
    clock, year = SimulatedClock(), 365 * 86_400
    waiter, first = Waiter(app_id="application_1_0001", retry_timeout=10.0), clock.now
    settled = 0

    def look() -> ApplicationReport:
        nonlocal settled
        clock.now += 99.0  # a slow ResourceManager; so a year is 315,000 looks
        if clock.count == 20_000:  # the clock itself has stopped to remember
            settled = sys.getallocatedblocks()
        if clock.count % 1000 == 7:
            raise ConnectionFailed("broken")
        return ENDED if clock.now - first >= year else RUNS

    assert drive(waiter, look, clock=clock) is ENDED
    assert settled
    assert (
        sys.getallocatedblocks() - settled < 10_000
    )  # one block a look would be 300,000; other threads of the process have some, too
    assert clock.count > 300_000
    assert max(clock.slept[100:]) <= 1.1


def test_faults_of_a_year_are_forgiven_where_so_much_is_allowed() -> None:
    clock = SimulatedClock()
    ends = clock.now + 365 * 86_400

    def look() -> ApplicationReport:
        if clock.now < ends:
            raise BROKEN
        return ENDED

    waiter = Waiter(app_id="application_1_0001", poll=600.0, retry_timeout=366 * 86_400.0)
    assert drive(waiter, look, clock=clock) is ENDED
