"""Results read from result.json: values by rank, the first failure, and the exception that an outcome means."""

from __future__ import annotations

from typing import Any

import pytest

from knit_core.errors import ApplicationFailed, ApplicationKilled, ApplicationLost
from knit_core.model.result import Result


def _row(rank: int, state: str = "SUCCEEDED", **more: Any) -> dict[str, Any]:
    return {"id": f"main_{rank}", "service": "main", "instance": rank, "state": state, "node": "node07:45454", **more}


def _result(outcome: str = "SUCCEEDED", **more: Any) -> Result:
    return Result.parse({"id": "application_1_0001", "outcome": outcome, **more})


def test_values() -> None:
    assert _result().value is None
    assert _result(containers=[_row(0)], results={"main": {"0": [1]}}).value == [1]
    several = _result(containers=[_row(n) for n in range(3)], results={"main": {"2": "c", "0": "a"}})
    assert several.value == ["a", None, "c"]
    assert several.values == {"main": {0: "a", 2: "c"}}


def test_the_value_is_one_services_although_another_returned_nothing() -> None:
    many = [{**_row(n), "id": f"quiet_{n}", "service": "quiet"} for n in range(3)]
    one = _result(containers=[*many, _row(0)], results={"quiet": {}, "main": {"0": "a"}})
    assert one.value == "a"
    several = _result(containers=[*many[:1], _row(0), _row(1)], results={"quiet": {}, "main": {"1": "b"}})
    assert several.value == [None, "b"]


def test_a_failure_names_container_host_code_and_stderr() -> None:
    rows = [
        _row(0, "FAILED", exitCode=9, finishedAt=9000),
        _row(1, "FAILED", yarn="c_2", exitCode=3, startedAt=1000, finishedAt=5100, stderr=["Boom"]),
        _row(2, "KILLED"),
    ]
    with pytest.raises(ApplicationFailed) as caught:
        _result("FAILED", exitCode=3, containers=rows).raise_for_outcome()
    assert str(caught.value) == (
        "application_1_0001 failed: main_1 (c_2 on node07) exited with 3 after 4.1 s (and 1 more)\n"
        "  last lines of its stderr:\n  | Boom\n  all of it: knit logs application_1_0001"
    )
    assert (caught.value.exit_code, caught.value.stderr) == (3, ["Boom"])


@pytest.mark.parametrize("said", ["exited with 9 after 0.5 s", "was killed for memory: 300 MB used of 256 MB asked"])
def test_how_a_failed_container_ended_is_said_once(said: str) -> None:
    row = _row(0, "FAILED", exitCode=9, startedAt=1000, finishedAt=1500, diagnostics=said)
    with pytest.raises(ApplicationFailed) as caught:
        _result(
            "FAILED", exitCode=9, containers=[row], diagnostics=f"main_0 (c_1 on node07) {said}"
        ).raise_for_outcome()
    assert str(caught.value).count("exited with 9") == str(caught.value).count(said) == 1


@pytest.mark.parametrize(("outcome", "kind"), [("KILLED", ApplicationKilled), ("LOST", ApplicationLost)])
def test_other_ends(outcome: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"application_1_0001 was .*: why"):
        _result(outcome, diagnostics="why").raise_for_outcome()
    assert _result().raise_for_outcome().complete
