"""Decides whether a try of a task continues the stored launch (a retry) or begins a new one (a clear). Pure.

Airflow starts a task's code for four reasons: the first try, a retry, a clear by a user, a resume after a deferral. The launch
key is a random nonce in the task's state store, which is kept over retries and clears. A retry finds the key there, and Knit's
ledger decides whether to attach or to launch. A clear is recognized by `max_tries`, which Airflow raises then. As edited
retries can restore the old value, a launch also counts as cleared when its result was delivered and its DAG run was cleared
since.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

#: Key of the record in the task's state store.
STORE_KEY = "knit_launch"


@dataclass(frozen=True)
class Launch:
    """The stored record of a task's launch.

    Attributes:
        key: launch key for Knit, a random nonce; never derived from ids or counters of Airflow.
        max_tries: Airflow's `max_tries` when the key was made.
        clears: the DAG run's `clear_number` at that time.
        delivered: the result was returned to Airflow.
    """

    key: str
    max_tries: int
    clears: int
    delivered: bool = False

    def to_json(self) -> dict[str, Any]:
        """For the state store."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Any) -> Launch | None:
        """From the state store; None when the value is not such a record."""
        if not isinstance(stored, Mapping) or not isinstance(stored.get("key"), str):
            return None
        return cls(
            key=stored["key"],
            max_tries=int(stored.get("max_tries", 0)),
            clears=int(stored.get("clears", 0)),
            delivered=bool(stored.get("delivered")),
        )

    def done(self) -> Launch:
        """The same launch with its result delivered."""
        return replace(self, delivered=True)


@dataclass(frozen=True)
class Decision:
    """The launch to use; `superseded` is the key of an earlier launch that was cleared."""

    launch: Launch
    superseded: str | None = None


def decide(stored: Launch | None, *, max_tries: int, clears: int) -> Decision:
    """Continue the stored launch or begin a new one.

    Parameters:
        stored: the record in the state store.
        max_tries: Airflow's present value.
        clears: the DAG run's present `clear_number`.
    """
    fresh = Launch(key=secrets.token_hex(16), max_tries=max_tries, clears=clears)
    if stored is None:
        return Decision(fresh)
    cleared = stored.max_tries != max_tries or (stored.delivered and stored.clears != clears)
    return Decision(fresh, superseded=stored.key) if cleared else Decision(stored)
