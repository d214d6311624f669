"""Retries of requests: after transient faults of idempotent requests, within a budget, with jitter."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from knit_core.errors import ConnectionFailed, KnitError, ServiceUnavailable
from knit_core.model.clock import Clock
from knit_core.model.representation import shown

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")
log = logging.getLogger(__name__)


@shown
@dataclass(frozen=True)
class RetryPolicy:
    """How long and how often a request is repeated.

    Attributes:
        budget: seconds within which a repetition may start; 0: no repetition.
        tries: minimum number of tries, as a single one may take longer than the budget.
        first: seconds before the second try (doubled each time, with jitter).
        longest: maximum seconds between two tries.
        clock: for the budget and the pauses.
    """

    budget: float = 20.0
    tries: int = 2
    first: float = 0.2
    longest: float = 5.0
    clock: Clock = field(default=time, repr=False, compare=False)

    def call(self, action: Callable[[], T], *, idempotent: bool) -> T:
        """Run `action`, and repeat it after transient faults.

        A request that is not idempotent is repeated only when it was not carried out: no connection was made, or the server
        replied that it does not serve (standby, 503).
        """
        if self.budget <= 0:
            return action()
        from tenacity import Retrying, retry_if_exception, wait_random_exponential

        started = self.clock.monotonic()

        def exhausted(state: RetryCallState) -> bool:
            return state.attempt_number >= self.tries and self.clock.monotonic() - started >= self.budget

        retrying = Retrying(
            retry=retry_if_exception(lambda error: _is_retriable(error, idempotent)),
            stop=exhausted,
            wait=wait_random_exponential(multiplier=self.first, max=self.longest),
            sleep=self.clock.sleep,
            before_sleep=_log_retry,
            reraise=True,
        )
        return retrying(action)


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    pause = state.next_action.sleep if state.next_action is not None else 0.0
    log.info("try %d failed, the next one follows in %.1f s: %s", state.attempt_number, pause, error)


def _is_retriable(error: BaseException, idempotent: bool) -> bool:
    if isinstance(error, ConnectionFailed):
        return idempotent or error.before_sending
    if isinstance(error, ServiceUnavailable):
        return idempotent or error.not_carried_out
    return isinstance(error, KnitError) and error.transient and idempotent


NEVER = RetryPolicy(budget=0)
