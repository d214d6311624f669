"""KnitRetryPolicy: decides which failures of a task are tried again, and when."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from knit_airflow.exceptions import Kind, KnitFailed
from knit_airflow.version_compat import RetryDecision, RetryPolicy


class KnitRetryPolicy(RetryPolicy):
    """For `retry_policy=`: cluster faults are tried again soon; for the program's failures the exit code decides.

        KnitOperator(..., retries=5, retry_policy=KnitRetryPolicy(fail_on=[2], cluster_delay=timedelta(seconds=30)))

    A policy can end a task before its `retries` are used up, but not add retries. Requests that the cluster refuses fail at
    once with any policy. To extend it, override `decide`.

    Parameters:
        fail_on: exit codes after which the task fails at once.
        retry_on: only these exit codes are tried again; None: all except `fail_on`.
        retry_killed: whether an application that a user has killed is launched again.
        cluster_delay: delay of the next try after a cluster fault; None: the task's `retry_delay`.
    """

    def __init__(
        self,
        fail_on: Collection[int] = (),
        retry_on: Collection[int] | None = None,
        retry_killed: bool = True,
        cluster_delay: timedelta | None = None,
    ) -> None:
        self.fail_on, self.retry_on = frozenset(fail_on), None if retry_on is None else frozenset(retry_on)
        self.retry_killed, self.cluster_delay = retry_killed, cluster_delay

    def decide(self, failure: KnitFailed, try_number: int, max_tries: int) -> RetryDecision:
        """The decision for one failure; `RetryDecision.default()` applies `retries`."""
        if failure.kind is Kind.CLUSTER:
            return RetryDecision.retry(self.cluster_delay, "cluster fault")
        if failure.kind is Kind.KILLED:
            return RetryDecision.default() if self.retry_killed else RetryDecision.fail("the application was killed")
        code = failure.exit_code
        if code in self.fail_on or (self.retry_on is not None and code not in self.retry_on):
            return RetryDecision.fail(f"exit code {code} is not tried again")
        return RetryDecision.default()

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        """Called by Airflow with the task's exception; for exceptions that are not Knit's, `retries` apply."""
        failure: BaseException | None = exception
        while failure is not None and not isinstance(failure, KnitFailed):
            failure = failure.__cause__
        return RetryDecision.default() if failure is None else self.decide(failure, try_number, max_tries)
