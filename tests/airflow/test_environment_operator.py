"""KnitEnvironmentOperator with the real builder: what a task says, and another worker that has to build it again."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from knit_airflow import KnitEnvironmentOperator
from knit_airflow.operators._inputs import environment
from knit_core import Environment
from knit_core.environments import EnvironmentBuilder
from tests.airflow.fake_knit import FakeKnit


@pytest.fixture
def worker(knit: FakeKnit, tmp_path: Path) -> EnvironmentBuilder:
    """A worker with a cache of its own."""
    builder = EnvironmentBuilder(tmp_path / "cache")
    knit.create_env = builder.create  # type: ignore[attr-defined]
    return builder


def _run(**said: Any) -> dict[str, Any]:
    return KnitEnvironmentOperator(task_id="env", **said).execute({})


@pytest.mark.parametrize("kind", ["pip", pytest.param("file", marks=pytest.mark.slow)])
def test_a_worker_without_the_archive_builds_the_same(
    kind: str, knit: FakeKnit, worker: EnvironmentBuilder, index: Path, tmp_path: Path
) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("bed-alpha<2\n")
    description = _run(**{"pip": {"pip": ["bed-alpha<2"]}, "file": {"file": str(requirements)}}[kind])
    assert {"bed-alpha": "1.0"}.items() <= {p["name"]: p["version"] for p in description["packages"]}.items()
    assert environment(description, knit, logging.getLogger()).archive == Path(description["archive"])  # type: ignore[arg-type]
    Path(description["archive"]).unlink()
    again = environment(description, knit, logging.getLogger())  # type: ignore[arg-type]
    assert isinstance(again, Environment)
    assert Path(again.archive).is_file()
    assert again.key == description["key"]


def test_addresses_with_passwords_stay_on_the_worker(
    knit: FakeKnit, worker: EnvironmentBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = Environment("env", "hdfs:///e.tar.gz", "k")
    monkeypatch.setattr(knit, "create_env", lambda name, **_said: built, raising=False)
    assert "request" not in _run(pip=["thing @ https://me:secret@example.org/thing.whl"])
    assert "request" not in _run(packages=["python"], channels=["https://example.org/t/token/channel"])
    assert _run(pip=["thing @ https://example.org/thing.whl"])["request"]["pip"]
