"""A client for tests on the cluster, acting as a user who is neither HDFS's superuser nor the daemons' own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from knit_core import Knit
from knit_core.local import LocalCluster


@pytest.fixture
def knit(clean_cluster: LocalCluster) -> Iterator[Knit]:
    """Knit as alice, knowing nothing but the ResourceManager's address."""
    with Knit(clean_cluster.resourcemanager_url, user="alice") as client:
        yield client
