"""Failures sorted: whose fault, which exception, whether it is worth another try."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from knit_airflow import KnitRetryPolicy
from knit_airflow.exceptions import (
    ApplicationWasKilled,
    ClusterFailed,
    KnitFailed,
    KnitRefused,
    ProgramFailed,
    airflow_error,
)
from knit_airflow.version_compat import AirflowException, AirflowFailException, RetryDecision
from knit_airflow.xcoms import skips, value_of, xcoms_of
from knit_core.errors import (
    ApplicationEnded,
    ConnectionFailed,
    FunctionFailed,
    FunctionRefused,
    KnitError,
    NotAuthorized,
    PreflightError,
    QueueRefused,
    ServiceUnavailable,
    SpecError,
    WaitTimeout,
)
from knit_core.model.report import ApplicationReport
from knit_core.model.result import Container, Result
from knit_core.model.states import ContainerState, Outcome, State


def container(name: str = "main_0", code: int | None = 3, **more: Any) -> Container:
    service, _, rank = name.rpartition("_")
    state = ContainerState.SUCCEEDED if code == 0 else ContainerState.FAILED
    return Container(name, service, int(rank), 1, state, exit_code=code, **more)


def ended(outcome: Outcome = Outcome.FAILED, code: int | None = 3, **more: Any) -> ApplicationEnded:
    containers = () if code is None else (container(code=code, stderr=("going", "gone")),)
    with pytest.raises(ApplicationEnded) as raised:
        Result("application_1_0001", outcome, exit_code=code, containers=containers, **more).raise_for_outcome()
    return raised.value


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ended(), ProgramFailed),
        (ended(code=137), ProgramFailed),
        (FunctionFailed("ValueError: x"), ProgramFailed),
        (ended(code=-102), ClusterFailed),
        (ended(code=-100), ClusterFailed),
        (ended(code=None, complete=False, diagnostics="AM container exited with 13"), ClusterFailed),
        (ended(Outcome.LOST, code=None, complete=False), ClusterFailed),
        (ConnectionFailed("refused"), ClusterFailed),
        (ServiceUnavailable("standby"), ClusterFailed),
        (WaitTimeout("not yet"), ClusterFailed),
        (ended(Outcome.KILLED, code=None), ApplicationWasKilled),
        (PreflightError(["no queue"]), KnitRefused),
        (QueueRefused("stopped"), KnitRefused),
        (NotAuthorized("403"), KnitRefused),
        (SpecError(["x"]), KnitRefused),
        (FunctionRefused("not picklable"), KnitRefused),
    ],
    ids=str,
)
def test_each_error_has_its_class(error: KnitError, kind: type[AirflowException]) -> None:
    found = airflow_error(error)
    assert type(found) is kind
    assert str(found) == str(error)
    assert isinstance(found, AirflowFailException) is (kind is KnitRefused), "only refusals end without retries"


def test_a_failure_has_the_last_lines_and_the_code() -> None:
    found = airflow_error(ended())
    assert isinstance(found, KnitFailed)
    assert (found.exit_code, found.stderr, found.application_id) == (3, ("going", "gone"), "application_1_0001")
    assert "| gone" in str(found)


def test_the_policy_decides_by_fault_and_exit_code() -> None:
    policy = KnitRetryPolicy(fail_on=[2], retry_killed=False, cluster_delay=timedelta(seconds=9))

    def of(error: BaseException) -> RetryDecision:
        return policy.evaluate(error, 1, 5)

    assert (
        of(airflow_error(ConnectionFailed("x"))).action.value,
        of(airflow_error(ConnectionFailed("x"))).retry_delay,
    ) == (
        "retry",
        timedelta(seconds=9),
    )
    assert of(airflow_error(ended(code=2))).action.value == "fail"
    assert of(airflow_error(ended(code=3))).action.value == "default"
    assert of(airflow_error(ended(Outcome.KILLED, code=None))).action.value == "fail"
    assert of(ValueError("not ours")).action.value == "default"
    wrapped = RuntimeError("a callback's own")
    wrapped.__cause__ = airflow_error(ended(code=2))
    assert of(wrapped).action.value == "fail"
    only = KnitRetryPolicy(retry_on=[75])
    assert only.evaluate(airflow_error(ended(code=75)), 1, 5).action.value == "default"
    assert only.evaluate(airflow_error(ended(code=1)), 1, 5).action.value == "fail"


def test_the_policy_can_be_extended() -> None:
    class Memory(KnitRetryPolicy):
        def decide(self, failure: KnitFailed, try_number: int, max_tries: int) -> RetryDecision:
            if failure.exit_code == -104:
                return RetryDecision.fail("give it more memory")
            return super().decide(failure, try_number, max_tries)

    assert Memory().evaluate(airflow_error(ended(code=-104)), 1, 2).reason == "give it more memory"


@pytest.mark.parametrize(
    ("code", "codes", "skip"),
    [(99, 99, True), (99, [98, 99], True), (1, 99, False), (None, [0], False), (0, None, False)],
)
def test_skip(code: int | None, codes: Any, skip: bool) -> None:
    assert skips(code, codes) is skip


def test_facts() -> None:
    result = Result("a", Outcome.FAILED, containers=(container("main_0", 0), container("main_1", 3)))
    report = ApplicationReport(
        "a",
        "n",
        "u",
        "q",
        State.FINISHED,
        Outcome.FAILED,
        started_at=1000,
        finished_at=3500,
        memory_seconds=7,
        vcore_seconds=2,
    )
    assert xcoms_of(result, report) == {
        "exit_codes": {"main_0": 0, "main_1": 3},
        "resources_used": {"memory_mib_seconds": 7, "vcore_seconds": 2, "seconds": 2.5},
    }
    assert xcoms_of(None, None) == {}


def test_values_of_services() -> None:
    containers = (container("train_0", 0), container("train_1", 0), container("fetch_0", 0), container("quiet_0", 0))
    result = Result(
        "a", Outcome.SUCCEEDED, containers=containers, values={"train": {1: "b"}, "fetch": {0: {"rows": 5}}}
    )
    assert value_of(result) == {"fetch": {"rows": 5}, "quiet": None, "train": [None, "b"]}
    assert value_of(Result("a", Outcome.SUCCEEDED, containers=(container("main_0", 0),), values={"main": {0: 7}})) == 7
