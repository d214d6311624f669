"""Which launch a run of a task belongs to: retries keep it, clears replace it, whatever happens to `retries`."""

from __future__ import annotations

import json

import pytest

from knit_airflow.state.launch_key import Launch, decide

FIRST = decide(None, max_tries=2, clears=0)


def test_first_try_makes_a_random_key() -> None:
    again = decide(None, max_tries=2, clears=0)
    assert FIRST.superseded is None
    assert FIRST.launch.key != again.launch.key
    assert len(FIRST.launch.key) == 32


def test_retry_keeps_the_launch() -> None:
    assert decide(FIRST.launch, max_tries=2, clears=0).launch == FIRST.launch


def test_clear_of_another_task_keeps_the_launch_of_a_retry() -> None:
    decision = decide(FIRST.launch, max_tries=2, clears=1)
    assert decision.superseded is None
    assert decision.launch == FIRST.launch


def test_clear_begins_a_new_launch_and_supersedes_the_old() -> None:
    decision = decide(FIRST.launch, max_tries=3, clears=1)
    assert decision.superseded == FIRST.launch.key
    assert decision.launch.key != FIRST.launch.key
    assert decision.launch.max_tries == 3
    assert not decision.launch.delivered


def test_clear_that_lowered_max_tries_is_a_clear() -> None:
    # retries edited from 5 to 0: max_tries goes down, not up.
    assert decide(FIRST.launch, max_tries=1, clears=1).superseded == FIRST.launch.key


def test_clear_after_success_is_noticed_although_edited_retries_brought_max_tries_back() -> None:
    decision = decide(FIRST.launch.done(), max_tries=2, clears=1)
    assert decision.superseded == FIRST.launch.key


def test_worker_dying_between_delivery_and_success_attaches() -> None:
    assert decide(FIRST.launch.done(), max_tries=2, clears=0).launch.key == FIRST.launch.key


def test_record_survives_the_store() -> None:
    stored = json.loads(json.dumps(FIRST.launch.done().to_json()))
    assert Launch.from_json(stored) == FIRST.launch.done()


@pytest.mark.parametrize("junk", [None, "", [], {}, {"key": 3}])
def test_anything_else_in_the_store_is_no_record(junk: object) -> None:
    assert Launch.from_json(junk) is None
