"""The matrix of kinds of clusters: every pair of values is there, and the documentation shows the results that are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix.cells import CELLS, find, missing_pairs
from tests.matrix.jobs import JOBS
from tests.matrix.table import BEGIN, END, NOT_TRIED, PAGE, make_table, read_results


def test_each_value_meets_each_other_one() -> None:
    assert missing_pairs() == set()
    assert len(set(CELLS)) == len(CELLS)
    assert any(missing_pairs(CELLS[:n] + CELLS[n + 1 :]) for n in range(len(CELLS)))


def test_the_page_shows_the_results() -> None:
    _, _, rest = PAGE.read_text().partition(BEGIN)
    assert rest.partition(END)[0].strip() == make_table(read_results())


def test_results_are_of_cells_and_jobs_that_exist() -> None:
    names = {cell.name for cell in CELLS}
    assert {row["cell"] for row in read_results()} <= names
    assert set(NOT_TRIED) <= names
    for row in read_results():
        assert set(row["jobs"]) in ({"cluster"}, set(JOBS))


def test_cells_are_found_by_values() -> None:
    assert [cell.name for cell in find("kerberos/ha/direct")] == ["kerberos/ha/direct/3.4.2"]
    assert find("") == list(CELLS)
    with pytest.raises(ValueError, match="'kerberso' is no value"):
        find("kerberso")
    with pytest.raises(ValueError, match="no cell has"):
        find("httpfs/3.5.0")


def test_the_firewall_blocks_other_ports(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    folder = Path(__file__).parents[1] / "matrix" / "firewall"
    code = "import socket; socket.create_connection(('127.0.0.1', 1))"
    environment = {**os.environ, "PYTHONPATH": str(folder), "MATRIX_PORTS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "blocked by the matrix's firewall" in done.stderr
