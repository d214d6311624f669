"""The table of the matrix in docs/cluster-kinds.md, from the results that are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.matrix.cells import CELLS
from tests.matrix.jobs import JOBS

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path(__file__).parents[2] / "docs" / "cluster-kinds.md"
BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"
#: Cells that are not run, with the reason.
NOT_TRIED = dict.fromkeys(
    ("kerberos/ha/httpfs/3.3.6", "kerberos+tls/one/httpfs/3.4.2"),
    "not tried: a launch needs tokens of a NameNode, which HttpFS does not give, so `knit local up` does not make it",
)


def read_results() -> list[dict[str, Any]]:
    """One row for each cell that was run."""
    return list(json.loads(RESULTS.read_text())) if RESULTS.exists() else []


def make_table(results: list[dict[str, Any]]) -> str:
    """In Markdown: a row for each cell, a column for each job. `-`: not tried."""
    by_cell = {result["cell"]: result for result in results}
    lines = [f"| cluster | {' | '.join(JOBS)} | tried |", "|-" * (len(JOBS) + 2) + "|"]
    for cell in CELLS:
        result = by_cell.get(cell.name, {"jobs": {}, "date": NOT_TRIED.get(cell.name, "not tried")})
        marks = [{"ok": "yes", None: "-"}.get(result["jobs"].get(job), "no") for job in JOBS]
        lines.append(f"| {cell.name.replace('/', ' · ')} | {' | '.join(marks)} | {result['date']} |")
    return "\n".join(lines)


def write_table() -> None:
    """Replace the table in the documentation."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{make_table(read_results())}\n{END}{after}")
