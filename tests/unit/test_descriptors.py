"""What a `Knit` that launches for weeks holds open: as much after a thousand launches as after a few."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from knit_core import Knit
from tests.fake_cluster import FakeCluster

#: Both ends of each connection are of this process: those of the most requests that one launch sends at once.
_FEW = 80  # 32 connections that are kept, both of whose ends are in this process, and some more


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    made = FakeCluster()
    yield made
    made.close()


def _open() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def _becomes(most: int) -> bool:
    """Whether the descriptors become so few: the server notices a closed connection a moment later."""
    deadline = time.monotonic() + 20
    while _open() > most and time.monotonic() < deadline:
        time.sleep(0.05)
    return _open() <= most


@pytest.mark.long
@pytest.mark.parametrize("launches", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_launches_leave_no_descriptor_open(cluster: FakeCluster, launches: int) -> None:
    before = _open()
    with Knit(cluster.address, user="alice") as knit:
        with ThreadPoolExecutor(4) as pool:
            ids = list(pool.map(lambda number: knit.submit(f"echo {number}", memory=128).id, range(launches)))
        assert len(set(ids)) == len(cluster.apps) == launches
        assert _becomes(before + _FEW)
    assert _becomes(before)


def test_a_closed_client_can_be_used_again(cluster: FakeCluster) -> None:
    before = _open()
    knit = Knit(cluster.address, user="alice")
    for _ in range(3):
        assert knit.hdfs.list("/") == []
        knit.close()
        assert _becomes(before)
