"""docs/airflow*.md quote the example DAGs, which are run by test_examples: the quotations must be what runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = "\n".join(page.read_text() for page in sorted((ROOT / "docs").glob("airflow*.md")))
QUOTED = re.findall(r"<!-- (dags_examples/\S+) -->\n```python\n(.*?)```", PAGES, re.DOTALL)


def test_every_example_is_quoted() -> None:
    assert {name for name, _ in QUOTED} == {
        f"dags_examples/{path.name}" for path in (ROOT / "dags_examples").glob("*.py")
    }


@pytest.mark.parametrize(("name", "quoted"), QUOTED, ids=[name for name, _ in QUOTED])
def test_quotation_is_what_runs(name: str, quoted: str) -> None:
    source = (ROOT / name).read_text()
    marked = re.search(r"# \[START \w+\]\n(.*?)# \[END \w+\]", source, re.DOTALL)
    assert marked and marked.group(1).strip() == quoted.strip()
