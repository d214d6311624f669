"""Tells Airflow where it may write before any test module imports it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
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
    from knit_airflow.hooks import KnitHook
    from tests.airflow.fake_knit import FakeKnit

    fake = FakeKnit()

    async def aget_conn(self: KnitHook) -> FakeKnit:
        return fake

    monkeypatch.setattr(KnitHook, "get_conn", lambda self: fake)
    monkeypatch.setattr(KnitHook, "aget_conn", aget_conn)
    return fake
