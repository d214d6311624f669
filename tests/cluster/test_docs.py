"""The manual's code blocks and the README's script run against a real cluster."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from knit_core.local import LocalCluster

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).resolve().parents[2]
PAGES = ["quickstart", "usage", "configuration", "specs", "services", "functions", "logs", "neighbours"]
LONG_PAGES = ["examples", "stability", "inside", "recovery", "migration"]  # with `make test-all`


def blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(?!# [\w.-]+\.\w+\n)(.*?)```", (ROOT / name).read_text(), re.DOTALL)


def files(name: str) -> list[tuple[str, str]]:
    """Blocks that begin with a comment that is a file's name."""
    return re.findall(r"```\w+\n# ([\w.-]+\.\w+)\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


@pytest.mark.parametrize("page", [*PAGES, *(pytest.param(page, marks=pytest.mark.slow) for page in LONG_PAGES)])
def test_a_page_of_the_manual_from_first_to_last(
    clean_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, page: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in files(f"docs/{page}.md"):
        (tmp_path / name).write_text(content)
    monkeypatch.setenv("KNIT_RESOURCEMANAGER", clean_cluster.resourcemanager_url)
    monkeypatch.setenv("KNIT_USER", "alice")
    names: dict[str, object] = {"__name__": "manual"}
    for number, source in enumerate(blocks(f"docs/{page}.md"), 1):
        exec(compile(source, f"docs/{page}.md, block {number}", "exec"), names)


def test_the_readmes_script(
    clean_cluster: LocalCluster, channel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it stands there, but for the cluster's address, the channel, and a train.py that exists."""
    script = next(block for block in blocks("README.md") if "Knit(" in block)
    script = script.replace("http://rm.example.org:8088", clean_cluster.resourcemanager_url)
    script = script.replace('"python=3.11", "numpy", "pandas"', '"python", "numpy", "cloudpickle"')
    script = script.replace("conda-forge", channel).replace("2 GiB", "256 MiB")
    (tmp_path / "train.py").write_text("import sys, knit_container\nknit_container.result(sys.argv[2])\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KNIT_USER", "alice")
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(script, "README.md", "exec"), names)
    assert getattr(names["result"], "value", None) == ["0/4", "1/4", "2/4", "3/4"]
