"""When newer tokens are pushed: late in the life of the launch's, then before each pushed one ends."""

from __future__ import annotations

import pytest

from knit_core.hadoop.token_schedule import TokenLife, TokenSchedule
from knit_core.model.token_status import TokenPush, TokenStatus

DAY = 86400.0


class Configuration:
    def __init__(self, **properties: str) -> None:
        self._properties = {name.replace("__", "-").replace("_", "."): value for name, value in properties.items()}

    def cluster_property(self, name: str, default: str = "") -> str:
        return self._properties.get(name, default)


def life(**properties: str) -> TokenLife | None:
    return TokenLife.of(Configuration(**properties))  # type: ignore[arg-type]


def push(valid_until: float | None) -> TokenPush:
    until = None if valid_until is None else int(valid_until * 1000)
    return TokenPush((TokenStatus("HDFS_DELEGATION_TOKEN", "ha-hdfs:ns", True, 0, until, until),), True, True)


def test_the_life_is_that_of_the_shorter_lived_tokens() -> None:
    assert life() is None
    assert life(hadoop_security_authentication="kerberos") == TokenLife(7 * DAY, DAY)
    short = life(
        hadoop_security_authentication="kerberos",
        dfs_namenode_delegation_token_max__lifetime="120000",
        yarn_resourcemanager_delegation_token_renew__interval="60000",
    )
    assert short == TokenLife(120.0, 60.0)
    odd = life(hadoop_security_authentication="kerberos", dfs_namenode_delegation_token_max__lifetime="7d")
    assert odd == TokenLife(7 * DAY, DAY)
    below = life(hadoop_security_authentication="kerberos", dfs_namenode_delegation_token_max__lifetime="3600000")
    assert below == TokenLife(3600.0, 3600.0)


@pytest.mark.parametrize("cluster", [TokenLife(7 * DAY, DAY), TokenLife(120, 120), TokenLife(3600, 60)])
def test_the_first_push_is_longer_valid_than_the_tokens_of_the_launch_and_comes_before_their_end(
    cluster: TokenLife,
) -> None:
    schedule = TokenSchedule(0.0)
    schedule.begin(1000.0, cluster)
    end = 1000.0 + cluster.maximum
    assert end - cluster.unrenewed < schedule.due < end
    assert end - schedule.due >= cluster.unrenewed / 2


def test_pushes_go_on_before_each_end_for_a_year() -> None:
    schedule, now, until, pushes = TokenSchedule(0.0), 0.0, 7 * DAY, 0
    schedule.begin(0.0, TokenLife(7 * DAY, DAY))
    while now < 365 * DAY:
        assert now < until
        now = schedule.due
        until = now + DAY
        assert schedule.pushed(push(until), now) == 43200.0
        pushes += 1
    assert 2 * 358 <= pushes <= 2 * 359 + 1


def test_an_end_that_is_near_brings_the_next_push_near() -> None:
    schedule = TokenSchedule(0.0)
    assert schedule.pushed(push(3700.0), 100.0) == 1800.0
    assert schedule.due == 1900.0
    assert schedule.pushed(push(50.0), 100.0) == 60.0  # no push per second for tokens that have ended
    assert schedule.pushed(push(None), 100.0) == 43200.0
    assert schedule.failed(100.0, transient=True) == 60.0
    assert schedule.failed(100.0, transient=False) == 3600.0
    assert TokenSchedule(0.0, every=10.0).failed(0.0, transient=False) == 10.0
