"""Two minutes of the soak (`make soak` runs it for as long as one likes)."""

from __future__ import annotations

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
    assert tally.applications.total() >= 12
