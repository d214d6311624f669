"""The examples of docs/neighbours.md, and the descriptions that tests/cluster runs, are converted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from knit_core.convert import KINDS
from tests.cluster import test_converted as on_a_cluster
from tests.unit.convert.harness import converted, lost

PAGE = (Path(__file__).parents[3] / "docs" / "neighbours.md").read_text()
BLOCKS = re.findall(r"^```(yml|json|lua|text|xml)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_each_launcher_has_a_table_and_an_example() -> None:
    examples = dict(zip(KINDS, _examples(), strict=True))
    for kind, texts in examples.items():
        conversion = converted(texts[0], *((f"file{index}", text) for index, text in enumerate(texts[1:])))
        assert conversion.kind == kind
        assert {what for what in lost(conversion)} <= {"SLEEPER"}
    assert PAGE.count("| Knit |\n") == len(KINDS)


def _examples() -> list[list[str]]:
    texts = [text for _language, text in BLOCKS]
    return [texts[:1], texts[1:2], [texts[3], texts[2]], texts[4:5], texts[5:6], texts[6:]]


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("skein", [on_a_cluster.SKEIN]),
        ("yarn-service", [on_a_cluster.YARN.replace("PORT", "8080")]),
        ("slider", list(on_a_cluster.SLIDER.values())),
        ("kitten", [on_a_cluster.KITTEN]),
        ("distributedshell", [on_a_cluster.DISTRIBUTED_SHELL]),
        ("tony", [on_a_cluster.TONY, on_a_cluster.TONY_XML]),
    ],
)
def test_what_runs_on_the_cluster(kind: str, texts: list[str]) -> None:
    conversion = converted(texts[0], *((f"file{index}", text) for index, text in enumerate(texts[1:])))
    assert conversion.kind == kind
    warned = {"skein": {"variable WHO"}, "kitten": {"variable WHO"}, "slider": {"LISTEN", "TELL"}}
    assert set(lost(conversion)) == warned.get(kind, set())


def test_json_of_the_examples_is_json() -> None:
    for language, text in BLOCKS:
        if language == "json":
            json.loads(text)
