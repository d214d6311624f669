"""The code blocks of docs/environments.md run, with this machine's channel, index and a small virtual environment."""

from __future__ import annotations

import re
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_from_first_to_last(
    channel: str, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    venv.create(tmp_path / "small", with_pip=False)
    places = {
        '"python=3.11"': f'"python={sys.version_info[0]}.{sys.version_info[1]}"',
        ', "pandas >=2"': "",
        '"conda-forge"': repr(channel),
        '"dask"': '"bed-beta"',
        '"my-package >=2"': '"bed-alpha >=2"',
        '"pandas"': '"bed-alpha"',
        "venv=True": f"venv={str(tmp_path / 'small')!r}",
    }
    names: dict[str, object] = {"__name__": "manual"}
    page = (ROOT / "docs" / "environments.md").read_text()
    for number, source in enumerate(re.findall(r"```python\n(.*?)```", page, re.DOTALL), 1):
        for said, here in places.items():
            source = source.replace(said, here)
        exec(compile(source, f"docs/environments.md, block {number}", "exec"), names)
    assert {"env", "both", "light", "here", "there", "ready"} <= set(names)
