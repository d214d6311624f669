"""Tells Airflow where it may write before any test module imports it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from knit_core import Knit
    from knit_core.local import LocalCluster
    from tests.airflow.fake_knit import FakeKnit

_home = tempfile.mkdtemp(prefix="knit-airflow-home-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ.update(
    AIRFLOW_HOME=_home,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=f"{_home}/dags",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_home}/airflow.db",
)


@pytest.fixture
def knit(monkeypatch: pytest.MonkeyPatch) -> FakeKnit:
    """What every connection leads to: a cluster in memory."""
    from knit_airflow.hooks.knit import KnitHook
    from tests.airflow.fake_knit import FakeKnit

    fake = FakeKnit()

    async def aget_conn(self: KnitHook) -> FakeKnit:
        return fake

    monkeypatch.setattr(KnitHook, "get_conn", lambda self: fake)
    monkeypatch.setattr(KnitHook, "aget_conn", aget_conn)
    return fake


@pytest.fixture(scope="session")
def alice(cluster: LocalCluster) -> Iterator[Knit]:
    """The real cluster, as the user of Airflow's connection."""
    from knit_core import Knit

    with Knit(cluster.resourcemanager_url, user="alice") as client:
        yield client


@pytest.fixture(scope="session")
def flags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where containers look for the files that let them end."""
    folder = tmp_path_factory.mktemp("flags")
    folder.chmod(0o755)
    return folder
