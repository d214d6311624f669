"""The fake cluster that is shipped for people's own tests."""

from __future__ import annotations

import pytest

from knit_core.errors import ApplicationFailed, ApplicationNotFound, NotFound, PreflightError, SpecError, WaitTimeout
from knit_core.model.states import Outcome, State
from knit_core.testing import FakeKnit


def test_a_launch_succeeds_with_the_value_that_the_test_says() -> None:
    knit = FakeKnit(lambda app: app.succeed({"rows": 3}))
    lines: list[str] = []
    app = knit.submit("python x.py", memory="2 GiB", name="x", progress=lines.append)
    assert app.wait().value == {"rows": 3}
    assert knit.submitted[0].spec.services["main"].memory == 2048
    assert lines == [f"submitted {app.id}"]
    ranks = FakeKnit(lambda app: app.succeed(["a", "b"])).submit("x", instances=2).wait()
    assert (ranks.value, len(ranks.containers)) == (["a", "b"], 2)
    services = {"services": {"a": {"command": "x"}, "b": {"command": "y"}}}
    assert FakeKnit(lambda app: app.succeed(values={"b": {0: 1}})).submit(services).wait().values == {"b": {0: 1}}


def test_a_failure_is_the_real_exception() -> None:
    app = FakeKnit(lambda app: app.fail(3, ["going", "gone"])).submit("x")
    with pytest.raises(ApplicationFailed, match=r"main_0.*exited with 3[\s\S]*gone") as failure:
        app.wait()
    assert (failure.value.exit_code, failure.value.stderr) == (3, ["going", "gone"])
    assert app.wait(check=False).outcome is Outcome.FAILED


def test_keys_are_treated_as_in_reality() -> None:
    knit = FakeKnit(on_submit=None)
    first = knit.submit("x", key="k")
    assert knit.submit("x", key="k") is first, "it runs"
    first.fail()
    second = knit.submit("x", key="k")
    assert second is not first, "it had failed"
    second.succeed()
    assert knit.submit("x", key="k") is second, "it succeeded"
    knit.supersede("k")
    assert knit.launched("k") is None
    assert len({knit.submit("x", key="k").id, first.id, second.id}) == 3
    assert [each.key for each in knit.submitted] == ["k"] * 3


def test_running_killed_listed_and_unknown() -> None:
    knit = FakeKnit(on_submit=None)
    app = knit.submit("x", tags=["Nightly"], queue="science")
    assert [each.id for each in knit.list(tags=["nightly"], queue="science")] == [app.id]
    assert (app.report().state, app.result()) == (State.RUNNING, None)
    with pytest.raises(WaitTimeout, match="succeed, fail or kill"):
        app.wait(timeout=0.05)
    assert app.kill("enough") and not app.kill("again")
    assert app.kills == ["enough"] and app.report().outcome is Outcome.KILLED
    assert knit.list() == [] and len(knit.list(states=list(State))) == 1
    with pytest.raises(ApplicationNotFound):
        knit.attach("application_1_0001")


def test_what_the_cluster_would_refuse() -> None:
    knit = FakeKnit()
    with pytest.raises(SpecError, match="memroy"):
        knit.submit("x", memroy=1)
    knit.refuses = PreflightError(["no queue 'nope'"])
    with pytest.raises(PreflightError, match="nope"):
        knit.submit("x")
    assert knit.submitted == []


def test_what_runs_can_be_scaled_and_its_containers_ended() -> None:
    knit = FakeKnit(on_submit=None)
    app = knit.submit("x", instances=2)
    assert app.scale(4) == 4 and app.scale(by=-1) == 3
    app.kill_container("main_1")
    assert [each.id for each in app.containers()] == ["main_0", "main_2"]
    assert app.services()["main"].instances == 2 and app.report().containers == 3
    for wrong in (lambda: app.scale(1, "other"), lambda: app.kill_container("main_1"), lambda: app.kill_container("x")):
        with pytest.raises(NotFound):
            wrong()
    knit.forget(app.id)
    assert knit.submit("x").id != app.id
