"""docs/api.md is what the docstrings say now."""

from __future__ import annotations

from tools import api_reference


def test_the_reference_is_current_and_has_no_gaps() -> None:
    written = api_reference.PAGE.read_text(encoding="utf-8")
    assert written == api_reference.page(), "docs/api.md is behind the code: python tools/api_reference.py"
    for expected in ("`Knit.submit(", "`Application.scale(", "`knit_container.barrier(", "FakeKnit", "KnitError"):
        assert expected in written
