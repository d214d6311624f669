"""What the soak (`tests/faults/soak.py`) finds wrong, without a cluster."""

from __future__ import annotations

import random

import pytest

from knit_core.errors import ConnectionFailed, RequestRefused
from tests.faults import soak
from tests.faults.soak import DESCRIPTORS, MEMORY, Soak


@pytest.fixture
def run() -> Soak:
    return Soak(0, 1, say=lambda text: None)


def test_a_wrong_result_and_an_error_are_noted(run: Soak, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise RequestRefused("no")

    monkeypatch.setattr(
        soak, "KINDS", {"good": lambda *_: None, "lost": lambda *_: "its value is gone", "bad": refused}
    )
    for kind in soak.KINDS:
        run._one(kind, random.Random(1))
    assert run.tally.applications.total() == 3
    assert [text.partition(":")[0] for text in run.tally.wrong] == ["lost", "bad"]
    assert "WRONG: lost: its value is gone" in run.tally.table()


def test_transient_errors_are_counted_and_the_call_is_made_again(run: Soak) -> None:
    left = [ConnectionFailed("away"), None]

    def call() -> str:
        if error := left.pop(0):
            raise error
        return "done"

    assert run.again(call) == "done"
    assert run.tally.transient == {"ConnectionFailed": 1}
    with pytest.raises(RequestRefused):
        run.again(lambda: (_ for _ in ()).throw(RequestRefused("no")))


@pytest.mark.parametrize(
    ("memory", "descriptors", "wrong"),
    [(MEMORY // 2, DESCRIPTORS, 0), (3 * MEMORY, 0, 1), (0, DESCRIPTORS + 1, 1)],
)
def test_growth(run: Soak, memory: int, descriptors: int, wrong: int) -> None:
    run._grown((100 << 20, 20), ((100 << 20) + memory, 20 + descriptors), 1000)
    assert len(run.tally.wrong) == wrong
