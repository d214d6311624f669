"""`knit_core.testing.FakeKnit` says what the real cluster says: one script runs against both."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from knit_core import Knit
from knit_core.errors import KnitError
from knit_core.model.states import State
from knit_core.testing import FakeKnit

pytestmark = pytest.mark.cluster


def script(knit: Any) -> list[Any]:
    """What a program sees of two launches under one key, the first of which fails."""
    key, name, seen = uuid.uuid4().hex, uuid.uuid4().hex[:8], []
    first = knit.submit("echo gone >&2; exit 3", memory=64, name=name, key=key, tags=["Fake"])
    try:
        first.wait(timeout="2 min")
    except KnitError as error:
        seen += [type(error), error.exit_code, error.stderr, str(error).count("exited with 3")]
    seen += [first.kill(), first.result().outcome, first.result().exit_code]
    second = knit.submit("python3 -c \"import knit_container as k; k.result({'a': 1})\"", memory=64, name=name, key=key)
    result = second.wait(timeout="2 min")
    seen += [result.value, result.exit_code, result.complete, [(c.id, c.exit_code) for c in result.containers]]
    again = knit.submit("true", memory=64, name=name, key=key)
    seen += [second.id != first.id, again.id == second.id, knit.launched(key).id == second.id]
    report = second.report()
    seen += [report.state, report.outcome, report.progress, report.name, report.type, "fake" in first.report().tags]
    seen += [len(knit.list(name=name)), len(knit.list(name=name, states=list(State)))]
    seen[seen.index(name)] = "its name"
    knit.supersede(key)
    return [*seen, knit.launched(key)]


def test_both_say_the_same(knit: Knit) -> None:
    ends = iter([lambda app: app.fail(3, ["gone"]), lambda app: app.succeed({"a": 1})])
    assert script(FakeKnit(lambda app: next(ends)(app))) == script(knit)
