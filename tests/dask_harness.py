"""Dask clusters for tests: this machine's Python as the environment of the containers, which saves the packing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from knit_core import Knit
from knit_core.dask_yarn import DaskYARNCluster
from knit_core.environments import Environment
from knit_core.local import LocalCluster

SMALL: dict[str, Any] = {"memory": 384, "scheduler_memory": 384, "nanny": False}


def here() -> Environment:
    """The environment that runs the tests."""
    return Environment.from_path(sys.prefix)


@pytest.fixture(scope="module")
def dask_knit(cluster: LocalCluster) -> Iterator[Knit]:
    """A client that lives as long as the module's Dask cluster."""
    with Knit(cluster.resourcemanager_url, user="alice") as knit:
        yield knit


@pytest.fixture(scope="module")
def dask(dask_knit: Knit) -> Iterator[DaskYARNCluster]:
    """A running Dask cluster; tests leave it with as many workers as they like."""
    with DaskYARNCluster(here(), n_workers=2, knit=dask_knit, name="bed", **SMALL) as cluster:
        yield cluster
