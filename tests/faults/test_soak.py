"""Two minutes of the soak, and thirty with `make test-all` (`make soak` runs it for as long as one likes)."""

from __future__ import annotations

import random

import pytest

from tests.faults.soak import Soak

SEED = 4  # the same choices each time, though never at the same moments; `make soak` makes others

pytestmark = [pytest.mark.cluster, pytest.mark.race]


@pytest.mark.timeout(480)
def test_two_minutes_of_faults() -> None:
    """Applications of all kinds while daemons are killed: no result is lost or doubled, nothing hangs, nothing is left."""
    tally = Soak(minutes=2, seed=SEED).run()
    print(tally.table())
    assert not tally.wrong, tally.table()
    assert tally.faults.total() >= 3
    assert tally.applications.total() >= 6  # 20 and more on two processors that do nothing else


@pytest.mark.slow
@pytest.mark.timeout(50 * 60)
def test_thirty_minutes_of_faults() -> None:
    """The same for longer, with other choices each time."""
    tally = Soak(minutes=30, seed=random.SystemRandom().randrange(1 << 32)).run()
    print(tally.table())
    assert not tally.wrong, tally.table()
    assert tally.faults.total() >= 60
    assert tally.applications.total() >= 200
