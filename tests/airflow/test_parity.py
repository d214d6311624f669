"""Blocking and deferred say the same: each scenario runs in both, and everything that a task leaves behind is compared."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from knit_airflow import KnitOperator
from knit_airflow.exceptions import airflow_error
from knit_core.errors import ApplicationNotFound, ConnectionFailed, NotAuthorized, PreflightError
from tests.airflow.fake_knit import FakeApplication, FakeKnit
from tests.airflow.fake_task import Task

Script = Callable[[FakeApplication], None]


def fails(*errors: Exception) -> Script:
    """The third look meets these: the one for the link, and that before a deferral, have seen it run."""

    def script(app: FakeApplication) -> None:
        ends("SUCCEEDED", 6)(app)
        app.fails_at = {3: list(errors)}

    return script


def ends(outcome: str, after: int, text: str = "", code: int = 3) -> Script:
    """It ends after so many looks, the one for the link and the one before a deferral among them."""

    def script(app: FakeApplication) -> None:
        app.ends_after, app.outcome, app.text, app.exit_code = after, outcome, text, code

    return script


def forgotten(app: FakeApplication) -> None:
    """YARN no longer knows it; it has left a result."""
    fails(*[ApplicationNotFound("404", status=404)] * 99)(app)
    app.outcome, app.left_result = "SUCCEEDED", True


SCENARIOS: dict[str, tuple[Script, dict[str, Any], int]] = {
    "succeeds": (ends("SUCCEEDED", 6), {}, 0),
    "succeeds at once": (ends("SUCCEEDED", 0), {}, 0),
    "fails": (ends("FAILED", 6, "main_0 exited with 3"), {}, 0),
    "fails before a retry": (ends("FAILED", 6, "main_0 exited with 3"), {}, 2),
    "fails and skips": (ends("FAILED", 6, "nothing to do", code=99), {"skip_on_exit_code": [98, 99]}, 0),
    "fails with another code than that which skips": (ends("FAILED", 6, "x", code=1), {"skip_on_exit_code": 99}, 0),
    "is killed": (ends("KILLED", 6), {}, 0),
    "faults pass": (fails(ConnectionFailed("gone"), ConnectionFailed("gone")), {}, 0),
    "is refused": (fails(*[NotAuthorized("403", status=403)] * 9), {}, 2),
    "is forgotten": (forgotten, {}, 0),
    "leaves the value out": (ends("SUCCEEDED", 6), {"do_xcom_push": False}, 0),
    "times out": (ends("SUCCEEDED", 10**6), {"execution_timeout": timedelta(seconds=0.3)}, 1),
}


#: What is raised; the others return the program's value.
ERRORS = {
    "fails": "ProgramFailed",
    "fails before a retry": "ProgramFailed",
    "fails and skips": "AirflowSkipException",
    "fails with another code than that which skips": "ProgramFailed",
    "is killed": "ApplicationWasKilled",
    "is refused": "KnitRefused",
    "times out": "AirflowTaskTimeout",
}


def run(deferrable: bool, script: Script, arguments: dict[str, Any], retries: int, knit: FakeKnit) -> dict[str, Any]:
    """One try of a task in one mode; all that can be seen of it afterwards."""
    from airflow.sdk.exceptions import TaskDeferred

    task = Task(retries)
    knit.on_submit = script
    knit.apps.clear()

    def fresh() -> KnitOperator:
        return KnitOperator(
            task_id="t", command="true", poll_interval=0.01, deferrable=deferrable, **{"name": "n", **arguments}
        )

    seen: dict[str, Any] = {"deferred": False}
    try:
        try:
            seen["value"] = fresh().execute(task.context())
        except TaskDeferred as deferral:
            seen["deferred"] = True
            event = asyncio.run(asyncio.wait_for(_fire(deferral.trigger), 20))
            seen["value"] = fresh().execute_complete(task.context(), json.loads(json.dumps(event)))
    except BaseException as error:  # a time-out is no Exception
        seen["error"] = (type(error).__name__, str(error))
    app = next(iter(knit.apps.values()))
    store = task.store["knit_launch"]
    return {
        **seen,
        "xcoms": task.xcoms,
        "kills": app.kills,
        "delivered": store["delivered"],
        "claims": len(knit.claims),
    }


async def _fire(trigger: Any) -> Any:
    async for event in trigger.run():
        return event.payload


@pytest.mark.parametrize("name", SCENARIOS)
def test_both_modes_leave_the_same_behind(knit: FakeKnit, name: str) -> None:
    script, arguments, retries = SCENARIOS[name]
    blocking = _with_clock(lambda: run(False, script, arguments, retries, knit), arguments)
    knit.claims.clear()
    deferred = run(True, script, arguments, retries, knit)
    assert deferred.pop("deferred") is (name != "succeeds at once"), "the scenario did not come to a deferral"
    blocking.pop("deferred")
    if name == "times out":  # the words of a blocking one are Airflow's
        blocking["error"], deferred["error"] = blocking["error"][:1], deferred["error"][:1]
    assert deferred == blocking
    assert (blocking["error"][0] if "error" in blocking else None) == ERRORS.get(name)
    assert ("value" in blocking) is (name not in ERRORS)


def _with_clock(run: Callable[[], dict[str, Any]], arguments: dict[str, Any]) -> dict[str, Any]:
    """Airflow's task runner ends a blocking task by an alarm when its execution_timeout is over."""
    limit = arguments.get("execution_timeout")
    if limit is None:
        return run()
    from airflow.sdk.execution_time.timeout import timeout

    with timeout(seconds=limit.total_seconds()):
        return run()


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_refused_submission_is_the_same_in_both(knit: FakeKnit, deferrable: bool) -> None:
    knit.refuses = PreflightError(["no queue 'nope'"])
    op = KnitOperator(task_id="t", command="true", name="n", deferrable=deferrable)
    with pytest.raises(type(airflow_error(knit.refuses)), match="no queue 'nope'"):
        op.execute(Task(3).context())
    assert not knit.apps
