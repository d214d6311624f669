"""The filters that keep the provider's poll small, on a real ResourceManager."""

from __future__ import annotations

import pytest

from knit_core import Knit
from knit_core.model.states import ENDED, State

pytestmark = pytest.mark.cluster


def test_lists_by_time_of_start_and_end(knit: Knit) -> None:
    first = knit.submit("true", memory=64, name="first")
    first.wait(timeout="2 min")
    second = knit.submit("sleep 300", memory=64, name="second")
    started = second.wait_until(lambda report: report.started_at is not None).started_at
    ended = first.report()
    assert ended.finished_at and started
    apps = knit.resourcemanager.apps

    assert {each.id for each in apps(states=State, started_since=started)} == {second.id}
    assert {first.id, second.id} <= {each.id for each in apps(states=State, started_since=ended.started_at)}
    assert first.id in {each.id for each in apps(states=ENDED, finished_since=ended.finished_at)}
    later = apps(states=ENDED, finished_since=ended.finished_at + 1)
    assert not {first.id, second.id} & {each.id for each in later}, "what still runs has not ended since"
    second.kill(grace=0)
    assert {each.id for each in apps(states=ENDED, finished_since=ended.finished_at + 1)} == {second.id}
