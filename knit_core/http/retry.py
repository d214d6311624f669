"""When a failed request is tried again: transient faults of idempotent requests, within a budget, with jitter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from knit_core.errors import ConnectionFailed, KnitError, ServiceUnavailable
from knit_core.showing import shown

T = TypeVar("T")


@shown
@dataclass(frozen=True)
class RetryPolicy:
    """How long and how often.

    Attributes:
        budget: seconds within which a new try may start; 0: never try again.
        first: seconds before the second try (doubled each time, with jitter).
        longest: seconds between two tries at most.
    """

    budget: float = 20.0
    first: float = 0.2
    longest: float = 5.0

    def call(self, action: Callable[[], T], *, idempotent: bool) -> T:
        """Run `action`, and again after transient faults.

        A request that is not idempotent is repeated only when no connection came about or the server itself said
        that it does not serve (standby, 503): then it was not carried out.
        """
        from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

        if self.budget <= 0:
            return action()

        def again(error: BaseException) -> bool:
            if isinstance(error, ConnectionFailed):
                return idempotent or error.before_sending
            if isinstance(error, ServiceUnavailable):
                return idempotent or error.not_carried_out
            return isinstance(error, KnitError) and error.transient and idempotent

        retrying = Retrying(
            retry=retry_if_exception(again),
            stop=stop_after_delay(self.budget),
            wait=wait_random_exponential(multiplier=self.first, max=self.longest),
            reraise=True,
        )
        return retrying(action)


NEVER = RetryPolicy(budget=0)
