"""For unit tests of DAGs: every connection of type `knit` uses a cluster in memory.

from knit_airflow.testing import fake_cluster

def test_my_dag():
    with fake_cluster() as cluster:
        run = dag.test()
    assert run.state == "success"
    assert cluster.submitted[0].spec.queue == "science"
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from knit_airflow.hooks.knit import KnitHook
from knit_core.testing import FakeApplication, FakeKnit


@contextlib.contextmanager
def fake_cluster(
    on_submit: Callable[[FakeApplication], None] | None = FakeApplication.succeed,
) -> Iterator[FakeKnit]:
    """All KnitHooks of this process return the same `knit_core.testing.FakeKnit`; no connection has to exist.

    Parameters:
        on_submit: called with each new application; by default it succeeds at once. None: it runs until the test ends it.
    """
    cluster = FakeKnit(on_submit)

    async def aget_conn(self: KnitHook) -> Any:
        return cluster

    with patch.object(KnitHook, "get_conn", lambda self: cluster), patch.object(KnitHook, "aget_conn", aget_conn):
        yield cluster
