"""docs/airflow-faults.md names tests: each is there, and each fault of the Airflow tests is named by it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = sorted(set(re.findall(r"`(test_\w+\.py)::(\w+)`", (ROOT / "docs/airflow-faults.md").read_text("utf-8"))))
#: Every test of these files injects a fault of the page.
THEMES = (
    "test_clears.py",
    "test_cluster_faults.py",
    "test_deployments.py",
    "test_kill_points.py",
    "test_process_faults.py",
)


def functions_of(file: str) -> set[str]:
    tree = ast.parse((ROOT / "tests/airflow" / file).read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_named_test_exists(file: str, name: str) -> None:
    assert name in functions_of(file)


@pytest.mark.parametrize("file", THEMES)
def test_no_fault_is_left_out(file: str) -> None:
    assert functions_of(file) <= {name for where, name in NAMED if where == file}


def test_every_fault_has_a_test() -> None:
    rows = [line for line in (ROOT / "docs/airflow-faults.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    faults = [row for row in rows if not row.startswith(("| fault", "| what"))]
    assert len(faults) > 20
    assert [row for row in faults if "test_" not in row and "the same" not in row.rsplit("|", 2)[1]] == []
