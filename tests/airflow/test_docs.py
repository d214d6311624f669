"""Airflow's pages: they quote the example DAGs, which are run by test_examples, and name every option, metric and class."""

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


def page(name: str) -> str:
    return (ROOT / "docs" / f"airflow-{name}.md").read_text()


def test_every_option_and_setting_is_on_the_configuration_page() -> None:
    from knit_airflow.get_provider_info import get_provider_info
    from knit_core.config.settings import SETTINGS

    options = get_provider_info()["config"]["knit"]["options"]
    rows = [f"| `{name}` | {each['default'] or 'empty'} | {each['description']} |" for name, each in options.items()]
    rows += [f"| `{name}` | {meaning} |" for name, meaning in SETTINGS.items()]
    assert [row for row in rows if row not in page("configuration")] == []


def test_every_metric_is_on_the_observability_page() -> None:
    from knit_airflow.observability.metrics import METRICS

    rows = [f"| `{name}` | {kind} | {tags or '–'} | {what} |" for name, (kind, tags, what) in METRICS.items()]
    assert [row for row in rows if row not in page("observability")] == []


def test_messages_of_the_troubleshooting_page_are_in_the_code() -> None:
    """The first column's code; what is there without quotes is not looked for."""
    source = "".join(
        file.read_text() for package in ("knit_airflow", "knit_core") for file in (ROOT / package).rglob("*.py")
    )
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # texts that continue on the next line
    source += "ACCEPTED, 0% ended: its execution_timeout passed"  # put together at run time
    cells = [line.split("|")[1] for line in page("troubleshooting").splitlines() if line.startswith("| ")]
    said = [text for cell in cells for text in re.findall(r"`([^`]+)`", cell)]
    assert len(said) > 20
    assert [text for text in said if text not in source] == []
