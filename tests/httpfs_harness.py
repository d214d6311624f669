"""HttpFS in front of the cluster's HDFS.

Use: `pytest_plugins` names it in tests/conftest.py; the fixture `httpfs` is its address. It starts in about five seconds, and ends
with the cluster.
"""

from __future__ import annotations

import pytest

from knit_core.local import LocalCluster


@pytest.fixture(scope="session")
def httpfs(cluster: LocalCluster) -> str:
    """Address of an HttpFS server that passes calls on to the cluster's NameNode."""
    cluster.up(httpfs=True)
    return cluster.httpfs_url
