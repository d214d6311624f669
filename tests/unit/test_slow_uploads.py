"""An upload that takes longer than the budget of retries, and breaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from knit_core import Knit
from knit_core.errors import ConnectionFailed
from tests.fake_cluster import FakeCluster
from tests.simulated_clock import SimulatedClock


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    made = FakeCluster()
    yield made
    made.close()


@pytest.mark.parametrize(("breaks", "comes"), [(1, True), (3, True), (4, False)])
def test_an_upload_that_breaks_late_is_tried_again(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, breaks: int, comes: bool
) -> None:
    with Knit(cluster.address, user="alice") as knit:
        knit.clock = clock = SimulatedClock()
        write, tries = knit.hdfs.write, []

        def slowly(path: str, data: Any, **options: Any) -> None:
            tries.append(path)
            clock.now += 120.0
            if len(tries) <= breaks:
                write(path, b"half", **options)
                raise ConnectionFailed("the connection broke")
            write(path, data, **options)

        monkeypatch.setattr(knit.hdfs, "write", slowly)
        if comes:
            assert knit.hdfs.publish("/x/file", lambda: b"whole")
            assert cluster.files["/x/file"] == b"whole"
        else:
            with pytest.raises(ConnectionFailed):
                knit.hdfs.publish("/x/file", lambda: b"whole")
        assert len(tries) == min(breaks + 1, 4)
        assert [path for path in cluster.files if path.endswith(".tmp")] == []
